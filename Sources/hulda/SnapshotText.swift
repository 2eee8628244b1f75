import Federation

/// Whether others signed the map that a node has, in words that say what to do.
enum SnapshotText {
    static func lines(_ report: SnapshotReport) -> [String] {
        guard !report.signed.isEmpty else { return ["  snapshot   nobody signed one of today that this node heard of"] }
        let signed = report.signed.map { "\($0.clusters) signed \($0.root.prefix(16))\u{2026}, \($0.entries) entries" }
        let own = report.own.map { "; own \($0.prefix(16))\u{2026}" } ?? "; none of its own"
        var lines = ["  snapshot   \(report.judgement.rawValue): " + signed.joined(separator: "; ") + own]
        if report.contradicting > 0 {
            lines.append("             clusters that signed two: \(report.contradicting); see the folder evidence")
        }
        switch report.judgement {
        case .agreed, .undecided: break
        case .contested, .refused:
            lines += [
                "             Another operator's node may have another map: write proofs with hulda node map --prove at both,",
                "             and compare them with hulda audit membership.",
            ]
        }
        return lines
    }
}
