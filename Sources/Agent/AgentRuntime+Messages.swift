import Correspondence
import NIOCore
import Primitives
import Records

/// Looking somebody up, writing and reading.
extension AgentRuntime {
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
            switch failure {
            case .storage, .storeRemoved: throw failure
            case .mapTooSmall(let clusters, _):
                return .queued(messageID: messageID, reason: .mapTooSmall(clusters: clusters))
            default: return .queued(messageID: messageID, reason: nil)
            }
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
                owner.core.isQueued(messageID) ? nil : .accepted(messageID: messageID)
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

    /// Which received messages to delete.
    public enum Deletion: Sendable, Equatable {
        case message(Bytes16)
        case from(NetworkID)
        /// All that were shown.
        case read
    }

    /// Deletes messages from this disk.
    /// - Returns: how many there were.
    public func delete(_ deletion: Deletion) async throws -> Int { try await onLoop { try $0.delete(deletion) } }

    /// How many messages a deletion would delete.
    public func count(_ deletion: Deletion) async throws -> Int { try await onLoop { try $0.count(deletion) } }

    /// Whether there is no room for more messages, so that they stay at the homes.
    public func isInboxFull() async throws -> Bool { try await onLoop { $0.core.isInboxFull } }

    /// Remembers that messages up to this number were shown.
    public func markRead(through number: UInt64) async throws { try await onLoop { try $0.markRead(through: number) } }
}
