import Federation
import FoundationEssentials
import Primitives
import Records
import Terminal

/// Proofs of membership in words.
enum MembershipText {
    /// What is proved, in a sentence.
    static func claim(_ proof: SnapshotMembership) -> String {
        let subject =
            switch proof.leaf {
            case .cluster(let id): "cluster \(id.bytes.hex)\(name(proof))"
            case .server(let id, let cluster, let key):
                "server \(id.bytes.hex)\n  of cluster \(cluster.bytes.hex)\n  with link key \(key.bytes.hex)"
            }
        let signers = proof.roots.count == 1 ? "1 cluster" : "\(proof.roots.count) clusters"
        return "\(subject)\n  is in the snapshot that \(signers) signed for \(day(proof.epoch)):\n"
            + "  root \(proof.statement.root.hex), \(proof.statement.count) entries"
    }

    static func full(_ path: String, _ proof: SnapshotMembership, _ known: KnownClusters?) -> String {
        var lines = ["The proof in \(path) holds: \(claim(proof))"]
        if let known {
            let count = proof.roots.count { known.names[$0.clusterID] != nil }
            lines.append("  of these clusters \(count) of \(proof.roots.count) are on your list")
        }
        lines.append("Signed by clusters:")
        lines += proof.roots.map { root in
            let name = known?.names[root.clusterID].map { "  on your list: \($0.shown)" } ?? ""
            return "  \(root.clusterID.bytes.hex)\(name)"
        }
        lines.append(
            """
            It does not prove that others saw the same map, that these clusters are honest or apart from each other, or \
            that the \(proof.server == nil ? "cluster" : "server") is there now.
            """)
        return lines.joined(separator: "\n")
    }

    static func comparison(_ comparison: MembershipComparison, _ files: [String]) -> String {
        var lines: [String] = []
        for view in comparison.views {
            let shown = view.files.map { files[$0] }.joined(separator: ", ")
            lines.append(
                "\(day(view.epoch)): root \(view.statement.root.hex.prefix(16))…, \(view.statement.count) entries, "
                    + "signed by \(view.clusters.count) in \(shown)")
        }
        lines += comparison.evidence.map { "cluster \($0.clusterID.bytes.hex) signed two of them" }
        if !comparison.isDivided {
            let days = Set(comparison.views.map(\.epoch)).count
            lines.append(
                days == 1 ? "All files show one snapshot." : "Files of one day show one snapshot; days differ anyway.")
        }
        return lines.joined(separator: "\n")
    }

    static func reason(_ failure: SnapshotMembership.Failure) -> String {
        switch failure {
        case .notMembership: "it is not a file of membership, or too long for one"
        case .unknownVersion(let version): "its format has version \(version), which this program does not know"
        case .malformed: "it is damaged or cut"
        case .descriptor(.wrongSignature): "the descriptor is not signed by the key that it names"
        case .descriptor(.wrongCertificate): "the server's certificate is not signed by its cluster"
        case .descriptor(.expired), .descriptor(.lastsTooLong): "the descriptor was never valid"
        case .descriptor(let error): "there is no descriptor in it: \(error)"
        case .laterDescriptor: "the descriptor has a version that this program does not know"
        case .root(let part, .wrongSignature): "root \(part + 1) is not signed by the server that it names"
        case .root(let part, .wrongCertificate):
            "the server's certificate in root \(part + 1) is not signed by its cluster"
        case .root(let part, .certificateOver): "the certificate in root \(part + 1) was over by then"
        case .root(let part, let error): "root \(part + 1) is no snapshot root: \(error)"
        case .mixedRoots: "its roots are of different snapshots, or not one of each cluster in order"
        case .notIncluded: "its path does not lead to the root"
        }
    }

    private static func name(_ proof: SnapshotMembership) -> String {
        proof.cluster.map { " (calls itself \($0.name.shown))" } ?? ""
    }

    /// An epoch as a date; all that can be written are within the calendar's bounds.
    private static func day(_ epoch: UInt64) -> String {
        let date = Date(timeIntervalSince1970: Double(epoch) * 86_400)
        return "epoch \(epoch), \(date.formatted(.iso8601.year().month().day())) UTC"
    }
}
