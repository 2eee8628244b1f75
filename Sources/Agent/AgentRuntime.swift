import Correspondence
import Federation
import FoundationEssentials
import LMDB
import Logging
import NIOCore
import NIOPosix
import Primitives
import Records
import Storage
import Transport
import Wire

/// A user's agent: opens the identity, connects to gateways, and does what it is asked.
public final class AgentRuntime: Sendable {
    /// How long what is under way at the end of a run has to arrive.
    public static let linger = TimeAmount.seconds(4)

    public let id: NetworkID
    /// What the store had lost when it was opened, if anybody has to be told.
    public let damageFound: AgentDamage?
    private let environment: LMDBEnvironment
    private let owner: AgentOwner
    private let group: MultiThreadedEventLoopGroup

    // MARK: Identity

    /// Makes an identity in an empty directory.
    /// - Parameter bootstrapPath: a list of peer links, of which a copy is kept.
    public static func create(
        directory: String, unlock: Unlock, cost: Argon2id, bootstrapPath: String
    ) throws(AgentFailure) -> NetworkID {
        let files = AgentFiles(directory: directory)
        guard !files.exists else { throw .identityExists(directory: directory) }
        let bootstrap = try AgentFiles.bootstrap(bootstrapPath)
        try files.makeDirectory()
        // The work that takes long comes before anything is on the disk.
        var entropy = Entropy.system()
        if case .keyFile(let path) = unlock, !FileManager.default.fileExists(atPath: path) {
            do throws(KeyFile.Failure) {
                _ = try KeyFile.loadOrCreate(path, count: 32, entropy: &entropy)
            } catch { throw .keyFile(path: path, reason: "\(error)") }
        }
        var master = SecretBytes(count: 32)
        master.withUnsafeMutableBytes { entropy.fill($0) }
        let identity = Identity(&entropy)
        let file = try IdentityFile.create(master: master, unlock: unlock, cost: cost, entropy: &entropy)
        guard let data = try? JSONEncoder().encode(file) else { throw .damaged("the identity file") }
        try files.begin()
        let environment = try files.openStore(creates: true)
        // Until the end nobody else takes this for a beginning that was cut off.
        defer { withExtendedLifetime(environment) {} }
        guard !files.exists else { throw .identityExists(directory: directory) }
        do throws(StorageError) {
            var store = try SealedStore(environment, master: master)
            try identity.save(&store)
            try store.commit(&entropy)
            try environment.acknowledgeOrigin()
        } catch { throw .storage(directory: directory, reason: "\(error)") }
        try files.write(bootstrap.text, to: files.bootstrapPath)
        try files.write(identity.id.text + "\n", to: files.idPath)
        // Written last: with it the identity is complete.
        try files.write(String(decoding: data, as: UTF8.self), to: files.identityPath)
        files.finish()
        return identity.id
    }

    /// The network ID of the identity in `directory`; needs no passphrase.
    public static func identity(directory: String) throws(AgentFailure) -> NetworkID {
        try AgentFiles(directory: directory).readID()
    }

    /// What a command should know before it asks anybody for a passphrase.
    public struct Standing: Sendable, Equatable {
        /// Whether the identity opens with a key file instead of a passphrase.
        public let needsKeyFile: Bool
        /// Whether another process runs with it.
        public let isInUse: Bool
    }

    /// Needs no passphrase.
    public static func standing(directory: String) throws(AgentFailure) -> Standing {
        let files = AgentFiles(directory: directory)
        return Standing(needsKeyFile: try files.readIdentity().unlock == "keyfile", isInUse: files.isInUse)
    }

    /// Checks what ``create(directory:unlock:cost:bootstrapPath:)`` needs besides the passphrase.
    public static func checkNew(directory: String, bootstrapPath: String) throws(AgentFailure) {
        guard !AgentFiles(directory: directory).exists else { throw .identityExists(directory: directory) }
        _ = try AgentFiles.bootstrap(bootstrapPath)
    }

    // MARK: Life

    /// Unlocks the identity. Nothing is connected before the first operation that needs it.
    /// - Parameter local: the address to connect from, `a.b.c.d`.
    public init(
        directory: String, unlock: Unlock, local: String? = nil,
        configuration: AgentConfiguration = AgentConfiguration(),
        logger: Logger = Logger(label: "agent", factory: { _ in SwiftLogNoOpLogHandler() })
    ) throws(AgentFailure) {
        let files = AgentFiles(directory: directory)
        let file = try files.readIdentity()
        let environment = try files.openStore(creates: false)
        files.finish()
        DurableFile.sweep(directory)
        let master = try file.master(unlock)
        let bootstrap = try AgentFiles.bootstrap(files.bootstrapPath)
        var address: NIOCore.SocketAddress?
        if let local {
            guard let parsed = try? NIOCore.SocketAddress(ipAddress: local, port: 0) else {
                throw .wrongAddress(local)
            }
            guard LocalAddress.exists(parsed) else { throw .foreignAddress(local) }
            address = parsed
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do throws(StorageError) {
            let store = try SealedStore(environment, master: master)
            if case .salvaged(let damage) = environment.origin {
                damageFound = AgentDamage(damage, lost: store.lost)
            } else {
                damageFound = nil
            }
            self.environment = environment
            guard let identity = try Identity.load(store) else { throw StorageError.corrupt("the keys are missing") }
            id = identity.id
            owner = try AgentOwner(
                loop: group.next(), directory: directory, identity: identity, configuration: configuration,
                bootstrap: bootstrap, local: address, store: store, logger: logger)
        } catch {
            if case .corrupt(let reason) = error {
                guard case .salvaged(let damage) = environment.origin else { throw .damaged(reason) }
                throw .damaged("\(reason): the store was damaged, and the damaged file is kept: \(damage.file)")
            }
            throw .storage(directory: directory, reason: "\(error)")
        }
    }

    /// Ends the agent. Messages, receipts and acknowledgements that are on their way get `linger` to arrive; what does
    /// not is kept and goes out with the next run.
    /// - Returns: what was counted since the start, by name (specs/counters.md).
    @discardableResult
    public func stop(linger: TimeAmount = AgentRuntime.linger) async -> [String: UInt64] {
        let deadline = NIODeadline.now() + linger
        while NIODeadline.now() < deadline {
            let isIdle = (try? await onLoop { !$0.isConnected || $0.core.isIdle || $0.failure != nil }) ?? true
            if isIdle { break }
            try? await Task.sleep(for: .milliseconds(50))
        }
        await refreshNames()
        let sums = try? await onLoop { owner in
            owner.stop()
            return owner.sums
        }
        try? await group.shutdownGracefully()
        environment.settle()
        return sums ?? [:]
    }

    /// The user was told of ``damageFound``: the next start does not repeat it.
    public func acknowledgeDamage() throws(AgentFailure) {
        do throws(StorageError) { try environment.acknowledgeOrigin() } catch {
            throw .storage(directory: owner.directory, reason: "\(error)")
        }
    }

    func onLoop<T: Sendable>(_ body: @escaping @Sendable (AgentOwner) throws -> T) async throws -> T {
        let owner = owner
        return try await owner.loop.submit { try body(owner) }.get()
    }

    // MARK: Operations

    /// Waits until a gateway is connected and the map is large enough for paths.
    public func connect(timeout: TimeAmount = .seconds(20)) async throws {
        try await join(usingGateways: true, timeout: timeout)
    }

    func join(usingGateways: Bool, timeout: TimeAmount) async throws {
        try await onLoop { $0.start(usingGateways: usingGateways) }
        let deadline = NIODeadline.now() + timeout
        while true {
            let state = try await onLoop { MapState($0) }
            if let failure = state.failure { throw failure }
            if state.isConnected || !usingGateways, state.clusters >= state.needed { return }
            let isLate = NIODeadline.now() >= deadline
            if isLate, state.isRefused { throw AgentFailure.mapRefused(servers: state.servers) }
            // Nobody knows of more clusters: waiting in silence helps nobody.
            if state.isTooSmall || isLate && state.servers > 0 && state.clusters < state.needed {
                throw AgentFailure.mapTooSmall(clusters: state.clusters, needed: state.needed)
            }
            if isLate { throw AgentFailure.noGateway(tried: max(1, state.attempts)) }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// How far an agent is with its map and its gateways.
    private struct MapState: Sendable {
        let isConnected: Bool
        let servers: Int
        let clusters: Int
        let needed: Int
        let isTooSmall: Bool
        let isRefused: Bool
        let attempts: Int
        let failure: AgentFailure?

        init(_ owner: AgentOwner) {
            isConnected = owner.isConnected
            servers = owner.map.currentTotal(at: .now())
            clusters = owner.core.relayClusters
            needed = owner.core.leastClusters
            isRefused = owner.isMapRefused
            isTooSmall = owner.isMapTooSmall && !isRefused
            attempts = owner.gatewayAttemptCount
            failure = owner.failure
        }
    }

    /// The last record of this ID that somebody else published, while its user has to know of it.
    public func foreignRecord() async throws -> ForeignRecord? {
        try await onLoop { $0.core.foreignRecord(at: .now()) }
    }

    /// Whether few clusters hold the map that this agent was given: it uses an older one.
    public func isMapRefused() async throws -> Bool { try await onLoop { $0.isMapRefused } }

    /// Seconds by which this machine's clock is ahead of the servers', or behind where it is negative; `nil` while it is as
    /// near as it needs to be, or no server was reached.
    public func clockDeviation() async throws -> Int64? { try await onLoop { $0.map.clocks.deviation } }

    // MARK: Requests

    /// Hands an event to the core and waits for the effect that `outcome` recognises.
    func request<T: Sendable>(
        _ timeout: TimeAmount, _ event: (@Sendable (UInt64) -> AgentEvent)?,
        outcome: @escaping @Sendable (UInt64, AgentEffect) -> Result<T, AgentFailure>?,
        isDone: @escaping @Sendable (AgentOwner) -> T? = { _ in nil }
    ) async throws -> T {
        let promise = owner.loop.makePromise(of: T.self)
        let owner = owner
        owner.enqueue { owner in
            let number = owner.freshRequest()
            let observer = owner.observe { result in
                switch result {
                case .failure(let failure): promise.fail(failure)
                case .success(let effect):
                    switch outcome(number, effect) {
                    case .success(let value): promise.succeed(value)
                    case .failure(let failure): promise.fail(failure)
                    case nil: break
                    }
                }
            }
            let timer = owner.loop.scheduleTask(in: timeout) { promise.fail(AgentFailure.timedOut) }
            promise.futureResult.assumeIsolated().whenComplete { _ in
                timer.cancel()
                owner.removeObserver(observer)
            }
            if let done = isDone(owner) { promise.succeed(done) }
            if let event { owner.handle(event(number)) }
            owner.start(usingGateways: true)
        }
        return try await promise.futureResult.get()
    }
}
