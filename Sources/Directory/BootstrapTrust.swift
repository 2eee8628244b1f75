import Primitives
import Wire

/// Where a server is known from with which this one begins.
public enum BootstrapSource: UInt8, CaseIterable, Sendable {
    /// The own routing table of an earlier run.
    case anchors = 1
    /// The bootstrap list.
    case bundled = 2
    /// A link that another operator handed over.
    case invitation = 3
    /// Named by the operator himself.
    case manual = 4
}

/// What speaks for the view of the network that a server was shown (specs/directory.md, "Bootstrap").
public struct ViewTrust: Equatable, Sendable {
    /// Servers of a class: how many were named, and how many of them have proven who they are.
    public struct Count: Equatable, Sendable {
        public var named = 0
        public var answered = 0
    }

    /// Whether it is enough.
    public let isReached: Bool
    public let counts: [BootstrapSource: Count]
    /// Those that have answered and are of different clusters and prefixes.
    public let unrelated: Int
}

/// Whether those that let this server in are unrelated enough to believe what they show (specs/directory.md,
/// "Bootstrap").
///
/// Servers are told apart by their link keys: these they prove, and an address may be another than the one that was named.
struct BootstrapTrust: Sendable {
    /// Classes of sources, or servers of different clusters and prefixes, that must have proven themselves.
    static let needed = 3
    static let limit = 256

    private struct Answer {
        let key: X25519PublicKey
        let cluster: VerifyingKey
        let prefix: UInt64
    }

    private var sources: [X25519PublicKey: Set<BootstrapSource>] = [:]
    /// Who has proven itself, in the order in which they did.
    private var answers: [Answer] = []
    // What follows from the answers.
    private var answeredSources: Set<BootstrapSource> = []
    private var answered: Set<X25519PublicKey> = []
    private var clusters: Set<VerifyingKey> = []
    private var prefixes: Set<UInt64> = []
    /// Servers of different clusters and prefixes.
    private var unrelated = 0

    var isReached: Bool {
        answeredSources.count >= BootstrapTrust.needed || unrelated >= BootstrapTrust.needed
    }

    /// Servers of the last run: how many there were.
    var anchors: Int { count(of: .anchors).named }
    /// And how many of them have answered.
    var anchorsAnswered: Int { count(of: .anchors).answered }

    func isAnchor(_ endpoint: Endpoint) -> Bool { sources[endpoint.linkKey]?.contains(.anchors) ?? false }

    var report: ViewTrust {
        var counts: [BootstrapSource: ViewTrust.Count] = [:]
        for source in BootstrapSource.allCases { counts[source] = count(of: source) }
        return ViewTrust(isReached: isReached, counts: counts, unrelated: unrelated)
    }

    private func count(of source: BootstrapSource) -> ViewTrust.Count {
        let named = sources.filter { $0.value.contains(source) }.keys
        return ViewTrust.Count(named: named.count, answered: named.count { answered.contains($0) })
    }

    mutating func expect(_ endpoints: [Endpoint], from source: BootstrapSource) {
        for key in endpoints.lazy.map(\.linkKey) where sources[key] != nil || sources.count < BootstrapTrust.limit {
            sources[key, default: []].insert(source)
        }
    }

    /// An endpoint has proven who it is; only those count with which this server began, and each once.
    mutating func answered(_ endpoint: Endpoint, cluster: VerifyingKey) {
        guard sources[endpoint.linkKey] != nil else { return }
        let answer = Answer(key: endpoint.linkKey, cluster: cluster, prefix: endpoint.address.prefixKey)
        if !answered.contains(answer.key) { answers.append(answer) }
        count(answer)
    }

    private mutating func count(_ answer: Answer) {
        guard let known = sources[answer.key] else { return }
        answered.insert(answer.key)
        // A cluster speaks once, under one class.
        let unheard = BootstrapSource.allCases.first { known.contains($0) && !answeredSources.contains($0) }
        guard clusters.insert(answer.cluster).inserted else { return }
        if let unheard { answeredSources.insert(unheard) }
        if prefixes.insert(answer.prefix).inserted { unrelated += 1 }
    }

    /// The source names these servers now: others of it speak under it no more, and what was counted is counted anew.
    /// - Returns: those that no source names any more.
    mutating func keep(_ keys: Set<X25519PublicKey>, of source: BootstrapSource) -> Set<X25519PublicKey> {
        var gone: Set<X25519PublicKey> = []
        for (key, known) in sources where known.contains(source) && !keys.contains(key) {
            let left = known.subtracting([source])
            sources[key] = left.isEmpty ? nil : left
            if left.isEmpty { gone.insert(key) }
        }
        (answeredSources, answered, clusters, prefixes, unrelated) = ([], [], [], [], 0)
        answers.removeAll { sources[$0.key] == nil }
        for answer in answers { count(answer) }
        return gone
    }
}
