import Primitives
import Wire

/// One UDP socket's protocol: authenticated calls of one datagram each way. Spec: specs/link.md, sections 5 to 7.
///
/// Enter: calls and answers of the owner, datagrams, moments. Leave: ``Effect``s. No socket and no clock inside.
/// - A call to a new peer takes one round trip: the request rides in Noise_IK message 1, the answer in message 2.
/// - Later calls use the session that came of it; if the peer lost it, a retry makes a new handshake.
/// - All datagrams that may be answered are as long as the longest answer, so nothing is amplified.
/// - Strangers, replays and garbage get silence.
public struct DatagramEndpoint: TimedCore, ~Copyable, Sendable {
    /// The longest request or answer.
    public static let bodyLimit = DatagramFormat.bodyLimit

    /// What the owner must do.
    public enum Effect: Equatable, Sendable {
        case send([UInt8], to: SocketAddress)
        /// `peer` asks; the owner answers with the token, soon, or not at all.
        ///
        /// A request in a first message is fresh (by the peer's clock) but might have been recorded and sent by another
        /// once this endpoint restarted: requests must be harmless to repeat.
        ///
        /// `isProven` says that the peer has received at this address what was sent there: else the address may be forged,
        /// and nothing but the answer goes there (specs/link.md, section 6).
        case requested(
            token: UInt64, peer: X25519PublicKey, from: SocketAddress, isProven: Bool, body: [UInt8])
        case answered(call: UInt64, body: [UInt8])
        /// No answer came in time, or the call could not be made.
        case failed(call: UInt64)
    }

    /// What callers need.
    public let publicKey: X25519PublicKey
    public internal(set) var counters = DatagramCounters()
    let bounds: DatagramBounds

    let key: X25519PrivateKey
    let mac1Key: Bytes32
    var cookies: CookieSource

    // Sessions by our index, and the one to use for calls to a peer.
    var sessions: ExpiringTable<UInt32, DatagramSession>
    var sessionOfPeer: [X25519PublicKey: UInt32] = [:]
    /// Where the last datagram of a session was opened.
    private var room: [UInt8] = []

    // As caller.
    var calls: [UInt64: DatagramCall] = [:]
    var callOfRequest: [Bytes16: UInt64] = [:]
    var callOfIndex: [UInt32: UInt64] = [:]
    var callSerial: UInt64 = 0
    var timers: [Fifo<CallTimer>]

    // As responder.
    var handshakes: ExpiringTable<Bytes32, AnsweredHandshake>
    var requests: ExpiringTable<UInt64, PendingRequest>
    var tokenOfRequest: [RequestKey: UInt64] = [:]
    var lastToken: UInt64 = 0
    var budget = HandshakeBudget()
    public private(set) var clock = ClockWatch()

    /// - Parameter key: the link key; its public part is what callers need.
    public init(key: consuming X25519PrivateKey, entropy: inout Entropy) {
        self.init(key: key, bounds: DatagramBounds(), entropy: &entropy)
    }

    /// - Parameter bounds: table sizes and rates; the defaults serve a node.
    public init(key: consuming X25519PrivateKey, bounds: DatagramBounds, entropy: inout Entropy) {
        publicKey = key.publicKey
        mac1Key = DatagramMAC.mac1Key(of: key.publicKey)
        self.key = key
        self.bounds = bounds
        cookies = CookieSource(&entropy)
        sessions = ExpiringTable(capacity: bounds.sessions)
        handshakes = ExpiringTable(capacity: bounds.handshakes)
        requests = ExpiringTable(capacity: bounds.requests)
        timers = Array(repeating: Fifo(), count: DatagramCall.delays.count)
    }

    /// Asks `peer`; exactly one ``Effect/answered(call:body:)`` or ``Effect/failed(call:)`` follows, now or later.
    /// - Parameters:
    ///   - call: the owner's name for the call.
    ///   - request: at most ``bodyLimit`` bytes.
    public mutating func call(
        _ call: UInt64, to address: SocketAddress, peer: X25519PublicKey, request: [UInt8], now: Timestamp,
        entropy: inout Entropy
    ) -> [Effect] {
        removeExpired(now)
        guard request.count <= DatagramEndpoint.bodyLimit, calls.count < bounds.calls else {
            counters.failures += 1
            return [.failed(call: call)]
        }
        return begin(
            DatagramCall(
                name: call, address: address, peer: peer, request: request, requestID: entropy.bytes(Bytes16.self)),
            now: now, entropy: &entropy)
    }

    /// Handles whatever the socket received.
    public mutating func receive(
        _ datagram: [UInt8], from address: SocketAddress, now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        removeExpired(now)
        switch (datagram.first, datagram.count) {
        case (DatagramFormat.initiation, Limits.datagramSize):
            return receiveInitiation(datagram, from: address, now: now, entropy: &entropy)
        case (DatagramFormat.response, Limits.datagramSize):
            return receiveResponse(datagram, from: address, now: now)
        case (DatagramFormat.cookieReply, DatagramFormat.cookieReplySize):
            return receiveCookie(datagram, from: address)
        case (DatagramFormat.transport, Limits.datagramSize):
            return receiveTransport(datagram, from: address, now: now, entropy: &entropy)
        default:
            counters.malformed += 1
            return []
        }
    }

    /// Answers a request. Does nothing when the caller has given up long ago, or `body` exceeds ``bodyLimit``.
    public mutating func answer(
        _ token: UInt64, _ body: [UInt8], now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        removeExpired(now)
        guard body.count <= DatagramEndpoint.bodyLimit else {
            counters.malformed += 1
            return []
        }
        let isFirst = requests.update(token) { request in
            guard request.answer == nil else { return false }
            request.answer = body
            return true
        }
        guard isFirst == true else {
            counters.unknown += 1
            return []
        }
        return sendAnswer(token, now: now, entropy: &entropy)
    }

    /// Repeats and gives up calls, and forgets what expired.
    public mutating func wake(now: Timestamp, entropy: inout Entropy) -> [Effect] {
        removeExpired(now)
        return runTimers(now, entropy: &entropy)
    }

    /// When to call ``wake(now:entropy:)``; `nil` for never.
    public var nextWake: Timestamp? {
        var next: Timestamp?
        func note(_ due: Timestamp?) {
            if let due { next = min(next ?? due, due) }
        }
        for queue in timers { note(queue.first?.due) }
        // What expires is forgotten together with what follows soon, not one by one.
        note(sessions.nextExpiry?.adding(milliseconds: DatagramBounds.expiryDelay))
        note(handshakes.nextExpiry?.adding(milliseconds: DatagramBounds.expiryDelay))
        note(requests.nextExpiry?.adding(milliseconds: DatagramBounds.expiryDelay))
        return next
    }

    /// Sessions held now.
    public var sessionCount: Int { sessions.count }

    // MARK: Sessions

    /// Keeps a new session under our `index`.
    mutating func keep(_ session: DatagramSession, index: UInt32, now: Timestamp) {
        let expiry = now.adding(milliseconds: DatagramBounds.sessionKept)
        if let evicted = sessions.insert(index, session, expiry: expiry) {
            counters.evicted += 1
            forget(evicted.key, evicted.value)
        }
    }

    mutating func forget(_ index: UInt32, _ session: DatagramSession) {
        if sessionOfPeer[session.peer] == index { sessionOfPeer[session.peer] = nil }
    }

    /// An index that neither a session nor a handshake of ours has.
    func freshIndex(_ entropy: inout Entropy) -> UInt32 {
        while true {
            let index = UInt32(truncatingIfNeeded: entropy.uint64())
            if sessions[index] == nil, callOfIndex[index] == nil { return index }
        }
    }

    mutating func removeExpired(_ now: Timestamp) {
        if clock.turned(to: now) != nil { turnBack(to: now) }
        for (index, session) in sessions.removeExpired(at: now) { forget(index, session) }
        for (_, request) in requests.removeExpired(at: now) { tokenOfRequest[request.key] = nil }
        _ = handshakes.removeExpired(at: now)
    }

    /// The clock went back: what has an end is forgotten, as in a restart, since it would stay until the wrong clock's time
    /// comes; calls that wait are repeated, or given up, at once.
    private mutating func turnBack(to now: Timestamp) {
        sessions = ExpiringTable(capacity: bounds.sessions)
        handshakes = ExpiringTable(capacity: bounds.handshakes)
        requests = ExpiringTable(capacity: bounds.requests)
        sessionOfPeer = [:]
        tokenOfRequest = [:]
        cookies.turnBack()
        budget = HandshakeBudget()
        timers = Array(repeating: Fifo(), count: DatagramCall.delays.count)
        for (serial, call) in calls.sorted(by: { $0.key < $1.key }) where call.attempt > 0 {
            timers[call.attempt - 1].append(CallTimer(due: now, serial: serial))
        }
    }

    /// A transport datagram under the session with this index.
    mutating func seal(_ payload: TransportPayload, session index: UInt32) -> [UInt8]? {
        let sealed = sessions.update(index) { session -> [UInt8]? in
            do throws(LinkError) { return try session.seal(payload) } catch { return nil }
        }
        return sealed ?? nil
    }

    private mutating func receiveTransport(
        _ datagram: [UInt8], from address: SocketAddress, now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        let index = DatagramFormat.index(datagram)
        var content: [UInt8] = []
        swap(&content, &room)
        let opened = sessions.update(index) {
            session -> Result<(peer: X25519PublicKey, isProven: Bool, payload: TransportPayload), LinkError> in
            do throws(LinkError) {
                let payload = try session.open(datagram, room: &content)
                return .success((session.peer, session.address == address, payload))
            } catch { return .failure(error) }
        }
        swap(&content, &room)
        switch opened {
        case nil:
            counters.unknown += 1
            return []
        case .failure(let error):
            count(error)
            return []
        case .success((let peer, let isProven, let payload)):
            // Only now is it certain that the peer has the keys: a first message can be a replay.
            if sessionOfPeer[peer] == nil { sessionOfPeer[peer] = index }
            switch payload.kind {
            case .answer:
                return finish(requestID: payload.requestID, peer: peer, body: payload.body)
            case .request:
                return accept(
                    RequestKey(peer: peer, id: payload.requestID), body: payload.body,
                    path: .session(index, address), from: address, isProven: isProven, now: now, entropy: &entropy)
            }
        }
    }

    mutating func count(_ error: LinkError) {
        switch error {
        case .replayed: counters.replayed += 1
        case .authenticationFailed, .invalidKey: counters.unauthenticated += 1
        case .unknownSession: counters.unknown += 1
        default: counters.malformed += 1
        }
    }
}
