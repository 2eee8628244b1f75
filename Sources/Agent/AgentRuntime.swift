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
    public let id: NetworkID
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
        var entropy = Entropy.system()
        if case .keyFile(let path) = unlock, !FileManager.default.fileExists(atPath: path) {
            do throws(KeyFile.Failure) {
                _ = try KeyFile.loadOrCreate(path, count: 32, entropy: &entropy)
            } catch { throw .keyFile(path: path, reason: "\(error)") }
        }
        var master = SecretBytes(count: 32)
        master.withUnsafeMutableBytes { entropy.fill($0) }
        let identity = Identity(&entropy)
        let environment = try files.openStore()
        do throws(StorageError) {
            var store = try SealedStore(environment, master: master)
            try identity.save(&store)
            try store.commit(&entropy)
        } catch { throw .storage(directory: directory, reason: "\(error)") }
        try files.write(bootstrap.text, to: files.bootstrapPath)
        try files.write(identity.id.text + "\n", to: files.idPath)
        let file = try IdentityFile.create(master: master, unlock: unlock, cost: cost, entropy: &entropy)
        guard let data = try? JSONEncoder().encode(file) else { throw .damaged("the identity file") }
        // Written last: with it the identity is complete.
        try files.write(String(decoding: data, as: UTF8.self), to: files.identityPath)
        return identity.id
    }

    /// The network ID of the identity in `directory`; needs no passphrase.
    public static func identity(directory: String) throws(AgentFailure) -> NetworkID {
        try AgentFiles(directory: directory).readID()
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
        let environment = try files.openStore()
        let master = try file.master(unlock)
        let bootstrap = try AgentFiles.bootstrap(files.bootstrapPath)
        var address: NIOCore.SocketAddress?
        if let local {
            guard let parsed = try? NIOCore.SocketAddress(ipAddress: local, port: 0) else {
                throw .wrongAddress(local)
            }
            address = parsed
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do throws(StorageError) {
            let store = try SealedStore(environment, master: master)
            guard let identity = try Identity.load(store) else { throw StorageError.corrupt("the keys are missing") }
            id = identity.id
            owner = try AgentOwner(
                loop: group.next(), directory: directory, identity: identity, configuration: configuration,
                bootstrap: bootstrap, local: address, store: store, logger: logger)
        } catch {
            if case .corrupt(let reason) = error { throw .damaged(reason) }
            throw .storage(directory: directory, reason: "\(error)")
        }
    }

    /// Ends the agent. Messages, receipts and acknowledgements that are on their way get `linger` to arrive; what does
    /// not is kept and goes out with the next run.
    public func stop(linger: TimeAmount = .seconds(4)) async {
        let deadline = NIODeadline.now() + linger
        while NIODeadline.now() < deadline {
            let isIdle = (try? await onLoop { !$0.isConnected || $0.core.isIdle || $0.failure != nil }) ?? true
            if isIdle { break }
            try? await Task.sleep(for: .milliseconds(50))
        }
        _ = try? await onLoop { $0.stop() }
        try? await group.shutdownGracefully()
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

    private func join(usingGateways: Bool, timeout: TimeAmount) async throws {
        try await onLoop { $0.start(usingGateways: usingGateways) }
        let deadline = NIODeadline.now() + timeout
        while true {
            let state = try await onLoop { ($0.isConnected, $0.servers.count, $0.gatewayAttemptCount, $0.failure) }
            if let failure = state.3 { throw failure }
            if state.0 || !usingGateways, state.1 > AgentConfiguration().mixes { return }
            guard NIODeadline.now() < deadline else {
                if try await isMapRefused() { throw AgentFailure.mapRefused(servers: state.1) }
                if state.1 > 0, state.1 <= AgentConfiguration().mixes {
                    throw AgentFailure.mapTooSmall(servers: state.1)
                }
                throw AgentFailure.noGateway(tried: max(1, state.2))
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// The clusters on the map.
    public func clusters() async throws -> [ClusterDescriptor] {
        try await join(usingGateways: false, timeout: .seconds(20))
        return try await onLoop { $0.clusters }
    }

    /// Registers with a server of the cluster of this name or hexadecimal identity, and publishes the record.
    public func register(home: String, token: String, timeout: TimeAmount) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        return try await registration(timeout) { .register(home: server, token: token, request: $0) }
    }

    /// Opens an account at a second home.
    public func addHome(_ home: String, token: String, timeout: TimeAmount) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        return try await registration(timeout) { .addHome(server, token: token, request: $0) }
    }

    /// Opens an account in the place of that at `old`, or of the first one.
    public func moveHome(
        to home: String, token: String, from old: String?, timeout: TimeAmount
    ) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        let left: NodeID? = if let old { try await ownHome(old) } else { nil }
        return try await registration(timeout) { .moveHome(to: server, token: token, from: left, request: $0) }
    }

    /// Leaves a home.
    /// - Parameter discards: whether what waits there is given up.
    public func removeHome(_ home: String, discards: Bool, timeout: TimeAmount) async throws {
        let server = try await ownHome(home)
        return try await request(timeout) {
            .removeHome(server, discards: discards, request: $0)
        } outcome: { request, effect in
            switch effect {
            case .homeRemoved(request): .success(())
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
    }

    /// Replaces all keys but the user's, and waits until enough holders have the new record and every home the new key.
    /// - Returns: the serial, and the homes that did not answer; they are asked again with every later run.
    public func rotate(timeout: TimeAmount) async throws -> (serial: UInt64, pending: Int) {
        try await connect(timeout: min(timeout, .seconds(20)))
        let deadline = NIODeadline.now() + timeout
        let serial = try await request(timeout) {
            .rotate(request: $0)
        } outcome: { request, effect -> Result<UInt64, AgentFailure>? in
            switch effect {
            case .rotated(request, let serial): .success(serial)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
        while true {
            let pending = try await onLoop { $0.core.pendingTakeOvers }
            if pending == 0 || NIODeadline.now() >= deadline { return (serial, pending) }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// The user's homes, each with its cluster's name if that is on the map that the agent has stored.
    public func homes() async throws -> [(report: HomeReport, cluster: String?)] {
        try await onLoop { owner in owner.core.homes.map { ($0, owner.clusterName(of: $0.node)) } }
    }

    /// One of the user's homes by its cluster's name or identity, or by its own node ID, for a home that is not on the
    /// map any more.
    /// - Parameter name: `nil` for the first.
    func ownHome(_ name: String?) async throws -> NodeID {
        let home = try await onLoop { owner in
            guard let name else { return owner.core.home }
            return owner.core.homes.map(\.node).first {
                $0.hex == name || owner.clusterName(of: $0) == name || owner.clusterID(of: $0)?.bytes.hex == name
            }
        }
        guard let home else { throw name.map(AgentFailure.unknownHome) ?? AgentFailure.refused(.notRegistered) }
        return home
    }

    private func registration(
        _ timeout: TimeAmount, _ event: @escaping @Sendable (UInt64) -> AgentEvent
    ) async throws -> RegistrationReport {
        try await request(timeout, event) { request, effect in
            switch effect {
            case .registered(request, let report): .success(report)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
    }

    /// The home server of a cluster; the rest of the map may still be on its way.
    private func homeServer(_ name: String) async throws -> NodeID {
        // The map first, from a bootstrap peer: gateways are chosen when it is known whose cluster they must not be of.
        try await join(usingGateways: false, timeout: .seconds(20))
        for _ in 0..<60 {
            let server = try await onLoop { owner -> NodeID? in
                let cluster = owner.clusters.first { $0.name == name || $0.clusterID.bytes.hex == name }
                return owner.servers.first { $0.clusterID == cluster?.clusterID && $0.roles.contains(.home) }?.nodeID
            }
            if let server {
                try await onLoop { $0.refreshMap() }
                return server
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw AgentFailure.unknownCluster(name)
    }

    /// Looks up a network ID.
    public func resolve(_ id: NetworkID, timeout: TimeAmount) async throws -> ResolveReport {
        try await connect()
        return try await request(timeout) {
            .resolve(id, request: $0)
        } outcome: { request, effect in
            switch effect {
            case .resolved(request, let report): .success(report)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
    }

    /// How far a message came in the time given.
    public enum SendOutcome: Sendable, Equatable {
        /// On this disk; it goes out as soon as that is possible.
        case queued(messageID: Bytes16, reason: AgentError?)
        /// On the disk of the recipient's home.
        case accepted(messageID: Bytes16)
    }

    /// Puts a message into the outbox, and waits until the recipient's home has it or the time is over.
    public func send(_ id: NetworkID, body: [UInt8], timeout: TimeAmount) async throws -> SendOutcome {
        let deadline = NIODeadline.now() + timeout
        let messageID = try await request(.seconds(10)) {
            .send(id, body: body, request: $0)
        } outcome: {
            request, effect -> Result<Bytes16, AgentFailure>? in
            switch effect {
            case .queued(request, let messageID): .success(messageID)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
        do {
            try await connect(timeout: min(timeout, .seconds(20)))
        } catch let failure as AgentFailure {
            if case .storage = failure { throw failure }
            return .queued(messageID: messageID, reason: nil)
        }
        let remaining = max(.milliseconds(1), deadline - .now())
        do {
            return try await request(remaining, nil) { _, effect -> Result<SendOutcome, AgentFailure>? in
                switch effect {
                case .accepted(messageID): .success(.accepted(messageID: messageID))
                case .unresolved(messageID, let error): .success(.queued(messageID: messageID, reason: error))
                default: nil
                }
            } isDone: { owner in
                let isOpen =
                    (try? AgentCore.outboxMessages(owner.store))?.contains {
                        $0.messageID == messageID && $0.state == .queued
                    } ?? true
                return isOpen ? nil : .accepted(messageID: messageID)
            }
        } catch AgentFailure.timedOut {
            return .queued(messageID: messageID, reason: nil)
        }
    }

    /// Waits until everything in the outbox has reached its recipients' homes.
    public func flush(timeout: TimeAmount) async throws {
        try await connect(timeout: min(timeout, .seconds(20)))
        let deadline = NIODeadline.now() + timeout
        while try await onLoop({ $0.core.queuedMessages }) > 0 {
            guard NIODeadline.now() < deadline else { throw AgentFailure.timedOut }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Every message that came, oldest first.
    public func storedMessages() async throws -> [StoredMessage] {
        try await onLoop { try AgentCore.inboxMessages($0.store) }
    }

    /// Every message in the outbox and of late.
    public func sentMessages() async throws -> [SentMessage] {
        try await onLoop { try AgentCore.outboxMessages($0.store) }
    }

    /// Messages that were not shown yet; waits until there are `count`, or the time is over.
    public func unread(atLeast count: Int, timeout: TimeAmount) async throws -> [StoredMessage] {
        let deadline = NIODeadline.now() + timeout
        if count > 0 { try await connect(timeout: min(timeout, .seconds(20))) }
        while true {
            let (messages, failure) = try await onLoop { (try $0.unread(), $0.failure) }
            if let failure { throw failure }
            if messages.count >= count || NIODeadline.now() >= deadline { return messages }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Remembers that messages up to this number were shown.
    public func markRead(through number: UInt64) async throws { try await onLoop { try $0.markRead(through: number) } }

    /// Whether few clusters hold the map that this agent was given: it uses an older one.
    public func isMapRefused() async throws -> Bool { try await onLoop { $0.isMapRefused } }

    public func counters() async throws -> AgentCounters { try await onLoop { $0.core.counters } }

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
