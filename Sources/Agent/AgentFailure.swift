import Correspondence
import Primitives
import Records
import Transport

/// What keeps an agent's runtime from doing what it was asked, for the user.
public enum AgentFailure: Error, Sendable, Equatable {
    /// There is no identity in this directory.
    case noIdentity(directory: String)
    /// There is an identity already.
    case identityExists(directory: String)
    /// Another process uses this identity now.
    case inUse(directory: String)
    case wrongPassphrase
    /// The identity was made with a key file.
    case needsKeyFile
    /// The identity was made with a passphrase.
    case needsPassphrase
    case keyFile(path: String, reason: String)
    /// Others can read a file with a secret, or write in the directory.
    case exposed(Exposure)
    case outOfMemory
    case damaged(String)
    case storage(directory: String, reason: String)
    /// Nothing of the store can be read.
    case damagedStore(directory: String, reason: String)
    /// The store was removed or replaced while it was in use.
    case storeRemoved(directory: String)
    /// There is a store without an identity file, and it is not what a cut-off beginning leaves.
    case strayStore(directory: String)
    /// The bootstrap list is missing or wrong.
    case bootstrap(path: String, reason: String)
    /// No gateway could be reached within the time.
    case noGateway(tried: Int)
    /// The map has relays of so many clusters, and a path needs more.
    case mapTooSmall(clusters: Int, needed: Int)
    /// Few clusters hold the map that this agent was given, and too little is left that it may use.
    case mapRefused(servers: Int)
    /// No cluster of this name or identity is on the map; `known` are the names that are.
    case unknownCluster(String, known: [String])
    /// Several clusters on the map have this name.
    case ambiguousCluster(String, candidates: [String])
    /// The cluster has given this name to nobody, or to somebody who does not publish it now.
    case unknownName(String)
    /// The user has no home of this name.
    case unknownHome(String)
    /// The address to connect from is none.
    case wrongAddress(String)
    /// This machine does not have the address to connect from.
    case foreignAddress(String)
    /// The network, or a core on its behalf, said no.
    case refused(AgentError)
    /// The operation did not finish in time; what was queued is kept.
    case timedOut

    static func ambiguous(_ name: String, _ found: [VerifyingKey]) -> AgentFailure {
        .ambiguousCluster(name, candidates: found.map { ClusterText.encode($0) })
    }

    /// Whether the network could not be reached, or not enough of it.
    public var isOffline: Bool {
        switch self {
        case .noGateway, .mapTooSmall: true
        default: false
        }
    }
}
