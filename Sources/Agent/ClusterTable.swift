import Primitives
import Records

/// The clusters of a map by what people call them.
///
/// Names prove nothing, and several clusters may have one: a name that is not the only one of its kind, capital letters
/// aside, leads nowhere, and is shown with the beginning of the ID.
struct ClusterTable {
    /// Hexadecimal digits of an ID that may stand for it, and that are shown.
    static let prefixLength = 8...64

    enum Match: Equatable {
        case one(VerifyingKey)
        case several([VerifyingKey])
        case none
    }

    private let clusters: [VerifyingKey: ClusterDescriptor]

    init(_ clusters: [VerifyingKey: ClusterDescriptor]) { self.clusters = clusters }

    /// The clusters of that name, or with that ID: `huldac1…`, or eight hexadecimal digits or more of its beginning.
    func find(_ text: String) -> Match {
        let folded = ClusterName.folded(text)
        let named = clusters.values.filter { ClusterName.folded($0.name) == folded }.map(\.clusterID)
        if !named.isEmpty { return named.count == 1 ? .one(named[0]) : .several(named.sorted()) }
        if let id = try? ClusterText.decode(text) { return .one(id) }
        guard ClusterTable.prefixLength.contains(text.utf8.count) else { return .none }
        let found = clusters.keys.filter { $0.bytes.hex.hasPrefix(folded) }
        return found.isEmpty ? .none : found.count == 1 ? .one(found[0]) : .several(found.sorted())
    }

    /// The name, with the beginning of the ID where others have it too or where it breaks the rule for names.
    func text(of cluster: VerifyingKey?) -> String? {
        guard let cluster, let name = clusters[cluster]?.name else { return nil }
        guard ClusterName.isWritable(name), find(name) == .one(cluster) else {
            return "\(name) (\(cluster.bytes.hex.prefix(16)))"
        }
        return name
    }

    /// Names to suggest.
    var names: [String] { clusters.values.map(\.name).filter(ClusterName.isWritable).sorted() }
}
