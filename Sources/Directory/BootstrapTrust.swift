import Primitives
import Wire

/// Where an endpoint came from with which this server begins.
public enum BootstrapSource: UInt8, CaseIterable, Sendable {
    /// The own routing table of an earlier run.
    case anchors = 1
    /// The list that comes with the software, or the map.
    case bundled = 2
    /// An invitation link.
    case invitation = 3
    /// Typed in by the operator.
    case manual = 4
}

/// Whether those that let this server in are unrelated enough to believe what they show (specs/directory.md,
/// "Bootstrap").
struct BootstrapTrust: Sendable {
    /// Classes of sources, or anchors of different clusters and prefixes, that must have proven themselves.
    static let needed = 3
    static let limit = 256

    private var sources: [Endpoint: BootstrapSource] = [:]
    private var answeredSources: Set<BootstrapSource> = []
    private var answered: Set<Endpoint> = []
    private var clusters: Set<VerifyingKey> = []
    private var prefixes: Set<UInt64> = []
    /// Servers of different clusters and prefixes.
    private var unrelated = 0
    /// Anchors of the last run: how many there were, and how many have answered.
    private(set) var anchors = 0
    private(set) var anchorsAnswered = 0

    var isReached: Bool {
        answeredSources.count >= BootstrapTrust.needed || unrelated >= BootstrapTrust.needed
    }

    mutating func expect(_ endpoints: [Endpoint], from source: BootstrapSource) {
        for endpoint in endpoints where sources[endpoint] == nil && sources.count < BootstrapTrust.limit {
            sources[endpoint] = source
            if source == .anchors { anchors += 1 }
        }
    }

    /// An endpoint has proven who it is; only those count with which this server began, and each once.
    mutating func answered(_ endpoint: Endpoint, cluster: VerifyingKey) {
        guard let source = sources[endpoint] else { return }
        if answered.insert(endpoint).inserted, source == .anchors { anchorsAnswered += 1 }
        // A cluster speaks once, under one class.
        guard clusters.insert(cluster).inserted else { return }
        answeredSources.insert(source)
        if prefixes.insert(endpoint.address.prefixKey).inserted { unrelated += 1 }
    }
}
