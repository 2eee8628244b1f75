import Correspondence
import Federation
import LMDB
import Primitives
import Records
import Storage
import Wire

/// What an agent has stored, to be read and not changed: also while another process runs with the identity.
///
/// Reads the state of one moment, that of the other process's last commit. Nothing is connected.
public struct AgentArchive: Sendable {
    private let store: SealedStore
    /// By whom the stored map was admitted: read without it, no cluster of the map counts.
    private let bootstrap: BootstrapList

    /// - Throws: ``AgentFailure/wrongPassphrase`` and its kind; never ``AgentFailure/inUse(directory:)``.
    public init(directory: String, unlock: Unlock) throws(AgentFailure) {
        let files = AgentFiles(directory: directory)
        let master = try files.readIdentity().master(unlock)
        bootstrap = try AgentFiles.bootstrap(files.bootstrapPath)
        let environment = try files.openStoreForReading()
        do throws(StorageError) { store = try SealedStore(environment, master: master) } catch {
            if case .corrupt(let reason) = error { throw .damaged(reason) }
            throw .storage(directory: directory, reason: "\(error)")
        }
    }

    /// Every message that came, oldest first.
    public func received() throws(AgentFailure) -> [StoredMessage] {
        try reading { () throws(StorageError) in try AgentCore.inboxMessages(store) }
    }

    /// Every message in the outbox and of late.
    public func sent() throws(AgentFailure) -> [SentMessage] {
        try reading { () throws(StorageError) in try AgentCore.outboxMessages(store) }
    }

    /// The user's homes, each with its cluster as the stored map has it.
    public func homes() throws(AgentFailure) -> [AgentHome] {
        try reading { () throws(StorageError) in
            guard let identity = try Identity.load(store) else { throw StorageError.corrupt("the keys are missing") }
            let now = Timestamp.now()
            var configuration = MapConfiguration()
            configuration.isAgent = true
            // The cores are read from, and what their start writes goes into a copy in memory alone.
            var copy = store
            let map = try MapCore(
                configuration: configuration, admission: Admission(bootstrap: bootstrap), now: now,
                store: copy)
            let core = try AgentCore(
                identity: identity, configuration: AgentConfiguration(), now: now, store: &copy)
            let clusters = ClusterTable(map.clusters)
            return core.homes.map { AgentHome(report: $0, cluster: clusters.text(of: map.server($0.node)?.clusterID)) }
        }
    }

    private func reading<T>(_ body: () throws(StorageError) -> T) throws(AgentFailure) -> T {
        do throws(StorageError) { return try body() } catch { throw .damaged("\(error)") }
    }
}

/// One of the user's homes, for people.
public struct AgentHome: Sendable {
    public let report: HomeReport
    /// The cluster's name, with the beginning of its ID when others have the name; `nil` when it is on no map.
    public let cluster: String?
}
