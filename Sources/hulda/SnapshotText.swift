import Federation

/// Who signed the map that a node has, in words.
enum SnapshotText {
    static func text(_ report: SnapshotReport) -> String {
        guard !report.signed.isEmpty else { return "no cluster has signed one of today yet, as far as this node heard" }
        let signed = report.signed.map {
            "\($0.clusters) signed \($0.root.prefix(16))\u{2026} of \(StatusText.count(Int($0.entries), "entry", "entries"))"
        }
        let own = report.own.map { "; its own is \($0.prefix(16))\u{2026}" } ?? "; it has none of its own"
        let contradicting =
            report.contradicting > 0
            ? "; clusters that signed two: \(report.contradicting), see the folder evidence" : ""
        return "\(report.judgement.rawValue): \(signed.joined(separator: "; "))\(own)\(contradicting)"
    }
}
