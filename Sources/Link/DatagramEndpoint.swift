import Primitives
import Wire

/// Requests and answers over UDP: one round trip cold, encrypted, authenticated both ways, never more bytes out than in
/// to an unproven address (specs/link.md, "Datagrams").
///
/// The first request to a peer rides in the first message of Noise_IK, the answer in the second; later ones use the
/// session. Lost datagrams are repeated after 0.5, 1 and 2 seconds.
public struct DatagramEndpoint: ~Copyable {
    /// The most bytes in a request or answer.
    public static let bodyLimit = DatagramFormat.bodyLimit

    public enum Effect: Sendable, Equatable {
        case send([UInt8], to: SocketAddress)
        /// A proven peer asks; answer with ``DatagramEndpoint/answer(_:_:now:entropy:)``.
        case requested(token: UInt64, peer: X25519PublicKey, from: SocketAddress, body: [UInt8])
        case answered(call: UInt64, body: [UInt8])
        /// Nobody answered in time.
        case failed(call: UInt64)
    }

    private struct Call {
        let address: SocketAddress
        let peer: X25519PublicKey
        let request: [UInt8]
        var attempts = 0
        var nextTry: Timestamp
        /// The own index of the handshake that carries it.
        var handshake: UInt32?
    }

    private struct Route: Hashable {
        let peer: X25519PublicKey
        let address: SocketAddress
    }

    private enum Answerer {
        case handshake(PendingHandshake)
        case session(UInt32, call: UInt64)
    }

    static let sessionLimit = 4096
    static let callLimit = 4096
    /// Requests that wait for their answer.
    static let requestLimit = 1024
    /// Milliseconds before each repetition, and before giving up.
    static let retries: [UInt64] = [500, 1000, 2000]
    /// An initiation may be this old or early, in milliseconds.
    static let clockSkew: UInt64 = 600_000
    static let ephemeralLimit = 16_384

    private let key: X25519PrivateKey
    /// Handshakes in one second above which addresses must be proven first.
    private let handshakeRate: Int
    private var sessions: [UInt32: DatagramSession] = [:]
    private var routes: [Route: UInt32] = [:]
    private var initiated: [UInt32: (handshake: PendingHandshake, call: UInt64)] = [:]
    private var calls: [UInt64: Call] = [:]
    private var requests: [UInt64: (answerer: Answerer, since: Timestamp)] = [:]
    private var nextToken: UInt64 = 1
    private var ephemerals: Set<Bytes32> = []
    private var ephemeralOrder: [Bytes32] = []
    private var cookies: [X25519PublicKey: (cookie: Bytes16, until: Timestamp)] = [:]
    private var cookieSecret: Bytes32
    private var cookieSecretUntil = Timestamp(seconds: 0)
    private var second: UInt64 = 0
    private var handshakesThisSecond = 0
    public private(set) var counters = DatagramCounters()

    /// - Parameter handshakeRate: handshakes in one second above which senders must prove their address.
    public init(key: consuming X25519PrivateKey, handshakeRate: Int = 500, entropy: inout Entropy) {
        self.key = key
        self.handshakeRate = handshakeRate
        cookieSecret = entropy.bytes()
    }

    /// When to call ``wake(now:entropy:)``.
    public var nextWake: Timestamp? { calls.values.lazy.map(\.nextTry).min() }

    // MARK: Calling

    /// Sends a request.
    /// - Parameters:
    ///   - call: the caller's number, reported with the outcome.
    ///   - request: at most ``bodyLimit`` bytes; a longer one fails at once.
    public mutating func call(
        _ call: UInt64, to address: SocketAddress, peer: X25519PublicKey, request: [UInt8], now: Timestamp,
        entropy: inout Entropy
    ) -> [Effect] {
        guard request.count <= DatagramEndpoint.bodyLimit, calls.count < DatagramEndpoint.callLimit,
            calls[call] == nil
        else { return [.failed(call: call)] }
        calls[call] = Call(address: address, peer: peer, request: request, nextTry: now)
        return attempt(call, now, &entropy)
    }

    /// Repeats what was not answered.
    public mutating func wake(now: Timestamp, entropy: inout Entropy) -> [Effect] {
        var effects: [Effect] = []
        for id in calls.filter({ $0.value.nextTry <= now }).keys.sorted() { effects += attempt(id, now, &entropy) }
        if requests.count > 0 {
            requests = requests.filter { now.milliseconds(since: $0.value.since) < 10_000 }
        }
        return effects
    }

    private mutating func attempt(_ id: UInt64, _ now: Timestamp, _ entropy: inout Entropy) -> [Effect] {
        guard var call = calls[id] else { return [] }
        if let old = call.handshake { initiated[old] = nil }
        guard call.attempts < DatagramEndpoint.retries.count else {
            calls[id] = nil
            counters.failures += 1
            return [.failed(call: id)]
        }
        if call.attempts > 0 { counters.retries += 1 }
        call.nextTry = now.adding(milliseconds: DatagramEndpoint.retries[call.attempts])
        call.attempts += 1
        call.handshake = nil
        let route = Route(peer: call.peer, address: call.address)
        defer { calls[id] = call }
        // A session that left a request unanswered may be gone at the other end.
        if call.attempts == 1, let index = routes[route], let session = sessions[index], session.isUsable(at: now) {
            return [.send(session.seal(mark: DatagramFormat.requestMark, call: id, body: call.request), to: call.address)]
        }
        guard let (datagram, index) = initiate(call.peer, call.address, call.request, id, now, &entropy) else {
            return []
        }
        call.handshake = index
        return [.send(datagram, to: call.address)]
    }

    private mutating func initiate(
        _ peer: X25519PublicKey, _ address: SocketAddress, _ request: [UInt8], _ call: UInt64, _ now: Timestamp,
        _ entropy: inout Entropy
    ) -> (datagram: [UInt8], index: UInt32)? {
        var handshake = NoiseHandshake(
            initiator: .ik, prologue: DatagramFormat.prologue, identity: key.copy(), responder: peer,
            ephemeral: X25519PrivateKey(&entropy))
        let index = freshIndex(&entropy)
        var writer = Writer(capacity: DatagramFormat.initiationSize)
        writer.uint8(DatagramFormat.initiation)
        writer.pad(to: 4)
        writer.uint32(index)
        var payload = Writer(capacity: DatagramFormat.initiationPayload)
        payload.uint64(now.milliseconds)
        payload.append(DatagramFormat.pad(request, to: DatagramFormat.initiationPayload - 8))
        guard let message = try? handshake.write(payload.bytes) else { return nil }
        writer.append(message)
        let mac1 = DatagramFormat.mac(writer.bytes[...], DatagramFormat.mac1Key(peer), Domain("hulda/mac"))
        writer.fixed(mac1)
        var mac2 = Bytes16()
        if let known = cookies[peer], known.until > now {
            var bytes = known.cookie.bytes
            mac2 = DatagramFormat.mac(writer.bytes[...], SecretBytes(taking: &bytes), Domain("hulda/mac"))
        }
        writer.fixed(mac2)
        initiated[index] = (
            PendingHandshake(
                handshake, remoteIndex: 0, peer: peer, address: address, started: now, mac1: mac1), call
        )
        return (writer.bytes, index)
    }

    private func freshIndex(_ entropy: inout Entropy) -> UInt32 {
        while true {
            let index = UInt32(truncatingIfNeeded: entropy.uint64())
            if sessions[index] == nil, initiated[index] == nil { return index }
        }
    }

    // MARK: Answering

    /// Answers a request; nothing is sent when it waited too long or the body is over ``bodyLimit``.
    public mutating func answer(
        _ token: UInt64, _ body: [UInt8], now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        guard let (answerer, _) = requests.removeValue(forKey: token), body.count <= DatagramEndpoint.bodyLimit else {
            return []
        }
        switch answerer {
        case .session(let index, let call):
            guard let session = sessions[index] else { return [] }
            return [.send(session.seal(mark: DatagramFormat.answerMark, call: call, body: body), to: session.address)]
        case .handshake(let pending):
            guard var handshake = pending.take(),
                let message = try? handshake.write(DatagramFormat.pad(body, to: body.count + 2))
            else { return [] }
            let index = freshIndex(&entropy)
            var writer = Writer(capacity: Limits.datagramSize)
            writer.uint8(DatagramFormat.response)
            writer.pad(to: 4)
            writer.uint32(index)
            writer.uint32(pending.remoteIndex)
            writer.append(message)
            writer.fixed(
                DatagramFormat.mac(writer.bytes[...], DatagramFormat.mac1Key(pending.peer), Domain("hulda/mac")))
            guard let keys = try? handshake.split() else { return [] }
            insert(
                DatagramSession(
                    keys, isInitiator: false, remoteIndex: pending.remoteIndex, peer: pending.peer,
                    address: pending.address, now: now), index)
            return [.send(writer.bytes, to: pending.address)]
        }
    }

    private mutating func insert(_ session: DatagramSession, _ index: UInt32) {
        if sessions.count >= DatagramEndpoint.sessionLimit,
            let oldest = sessions.min(by: { $0.value.created < $1.value.created })?.key
        {
            remove(oldest)
        }
        sessions[index] = session
    }

    private mutating func remove(_ index: UInt32) {
        guard let session = sessions.removeValue(forKey: index) else { return }
        let route = Route(peer: session.peer, address: session.address)
        if routes[route] == index { routes[route] = nil }
    }

    // MARK: Receiving

    /// Takes a datagram; what is not authentic is counted and answered with silence.
    public mutating func receive(
        _ datagram: [UInt8], from address: SocketAddress, now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        guard datagram.count >= 8, datagram.count <= Limits.datagramSize, datagram[1] | datagram[2] | datagram[3] == 0
        else {
            counters.malformed += 1
            return []
        }
        switch datagram[0] {
        case DatagramFormat.initiation: return receiveInitiation(datagram, address, now, &entropy)
        case DatagramFormat.response: return receiveResponse(datagram, now)
        case DatagramFormat.data: return receiveData(datagram, address, now)
        case DatagramFormat.cookie: return receiveCookie(datagram, now, &entropy)
        default:
            counters.malformed += 1
            return []
        }
    }

    private mutating func receiveInitiation(
        _ datagram: [UInt8], _ address: SocketAddress, _ now: Timestamp, _ entropy: inout Entropy
    ) -> [Effect] {
        guard datagram.count == DatagramFormat.initiationSize else {
            counters.malformed += 1
            return []
        }
        let macStart = datagram.count - 2 * DatagramFormat.macSize
        let mac2Start = datagram.count - DatagramFormat.macSize
        guard let mac1 = Bytes16(datagram[macStart..<mac2Start]), let mac2 = Bytes16(datagram[mac2Start...]),
            ConstantTime.equal(
                mac1,
                DatagramFormat.mac(
                    datagram[..<macStart], DatagramFormat.mac1Key(key.publicKey), Domain("hulda/mac")))
        else {
            counters.unauthenticated += 1
            return []
        }
        if isUnderLoad(now) {
            var cookie = self.cookie(for: address, now, &entropy).bytes
            let expected = DatagramFormat.mac(
                datagram[..<mac2Start], SecretBytes(taking: &cookie), Domain("hulda/mac"))
            guard ConstantTime.equal(mac2, expected) else {
                counters.cookiesSent += 1
                return [.send(cookieReply(datagram, mac1, address, now, &entropy), to: address)]
            }
        }
        guard let ephemeral = Bytes32(datagram[8..<40]), !ephemerals.contains(ephemeral) else {
            counters.replayed += 1
            return []
        }
        handshakesThisSecond += 1
        var handshake = NoiseHandshake(
            responder: .ik, prologue: DatagramFormat.prologue, identity: key, ephemeral: X25519PrivateKey(&entropy))
        guard let payload = try? handshake.read(Array(datagram[DatagramFormat.initiationHeader..<macStart])),
            let peer = handshake.remoteStatic
        else {
            counters.unauthenticated += 1
            return []
        }
        var reader = Reader(payload)
        guard let time = try? reader.uint64(),
            let body = try? reader.prefixed(limit: DatagramEndpoint.bodyLimit, field: "body")
        else {
            counters.malformed += 1
            return []
        }
        let sent = Timestamp(milliseconds: time)
        guard
            max(sent.milliseconds(since: now), now.milliseconds(since: sent)) <= DatagramEndpoint.clockSkew
        else {
            counters.outdated += 1
            return []
        }
        guard requests.count < DatagramEndpoint.requestLimit else {
            counters.overloaded += 1
            return []
        }
        remember(ephemeral)
        counters.handshakes += 1
        counters.requests += 1
        let pending = PendingHandshake(
            handshake, remoteIndex: DatagramFormat.index(datagram, at: 4), peer: peer, address: address, started: now,
            mac1: mac1)
        return [request(.handshake(pending), peer, address, body, now)]
    }

    private mutating func request(
        _ answerer: Answerer, _ peer: X25519PublicKey, _ address: SocketAddress, _ body: [UInt8], _ now: Timestamp
    ) -> Effect {
        let token = nextToken
        nextToken += 1
        requests[token] = (answerer, now)
        return .requested(token: token, peer: peer, from: address, body: body)
    }

    private mutating func receiveResponse(_ datagram: [UInt8], _ now: Timestamp) -> [Effect] {
        let index = DatagramFormat.index(datagram, at: 8)
        let macStart = datagram.count - DatagramFormat.macSize
        guard macStart >= DatagramFormat.responseHeader, let (pending, id) = initiated[index] else {
            counters.malformed += 1
            return []
        }
        guard let mac = Bytes16(datagram[macStart...]),
            ConstantTime.equal(
                mac,
                DatagramFormat.mac(
                    datagram[..<macStart], DatagramFormat.mac1Key(key.publicKey), Domain("hulda/mac"))),
            var handshake = pending.take()
        else {
            counters.unauthenticated += 1
            return []
        }
        // A forged response that passes mac1 ends this handshake; the call is repeated with a fresh one.
        initiated[index] = nil
        guard let payload = try? handshake.read(Array(datagram[DatagramFormat.responseHeader..<macStart])) else {
            counters.unauthenticated += 1
            return []
        }
        var reader = Reader(payload)
        guard let body = try? reader.prefixed(limit: DatagramEndpoint.bodyLimit, field: "body"),
            let keys = try? handshake.split()
        else {
            counters.malformed += 1
            return []
        }
        let route = Route(peer: pending.peer, address: pending.address)
        if let old = routes[route] { remove(old) }
        insert(
            DatagramSession(
                keys, isInitiator: true, remoteIndex: DatagramFormat.index(datagram, at: 4), peer: pending.peer,
                address: pending.address, now: now), index)
        routes[route] = index
        return answered(id, body)
    }

    private mutating func answered(_ id: UInt64, _ body: [UInt8]) -> [Effect] {
        guard let call = calls.removeValue(forKey: id) else { return [] }
        if let handshake = call.handshake { initiated[handshake] = nil }
        counters.answers += 1
        return [.answered(call: id, body: body)]
    }

    private mutating func receiveData(
        _ datagram: [UInt8], _ address: SocketAddress, _ now: Timestamp
    ) -> [Effect] {
        let index = DatagramFormat.index(datagram, at: 4)
        guard let session = sessions[index] else {
            counters.malformed += 1
            return []
        }
        let opened: (mark: UInt8, call: UInt64, body: [UInt8])
        do throws(DatagramSession.Refusal) { opened = try session.open(datagram) } catch {
            switch error {
            case .malformed: counters.malformed += 1
            case .replayed: counters.replayed += 1
            case .unauthenticated: counters.unauthenticated += 1
            }
            return []
        }
        switch opened.mark {
        case DatagramFormat.requestMark:
            guard requests.count < DatagramEndpoint.requestLimit else {
                counters.overloaded += 1
                return []
            }
            session.address = address
            counters.requests += 1
            return [request(.session(index, call: opened.call), session.peer, address, opened.body, now)]
        case DatagramFormat.answerMark:
            guard let call = calls[opened.call], call.peer == session.peer else { return [] }
            return answered(opened.call, opened.body)
        default:
            counters.malformed += 1
            return []
        }
    }

    // MARK: Cookies

    private mutating func isUnderLoad(_ now: Timestamp) -> Bool {
        if now.seconds != second {
            second = now.seconds
            handshakesThisSecond = 0
        }
        return handshakesThisSecond >= handshakeRate
    }

    /// What proves that a sender receives at its address: keyed hash of it, under a secret of two minutes.
    private mutating func cookie(
        for address: SocketAddress, _ now: Timestamp, _ entropy: inout Entropy
    ) -> Bytes16 {
        if now >= cookieSecretUntil {
            cookieSecret = entropy.bytes()
            cookieSecretUntil = now.adding(seconds: 120)
        }
        var writer = Writer(capacity: SocketAddress.encodedSize)
        address.encode(&writer)
        var secret = cookieSecret.bytes
        return DatagramFormat.mac(writer.bytes[...], SecretBytes(taking: &secret), Domain("hulda/cookie-ip"))
    }

    private mutating func cookieReply(
        _ datagram: [UInt8], _ mac1: Bytes16, _ address: SocketAddress, _ now: Timestamp, _ entropy: inout Entropy
    ) -> [UInt8] {
        let nonce: Bytes24 = entropy.bytes()
        var writer = Writer(capacity: DatagramFormat.cookieSize)
        writer.uint8(DatagramFormat.cookie)
        writer.pad(to: 4)
        writer.uint32(DatagramFormat.index(datagram, at: 4))
        writer.fixed(nonce)
        writer.append(
            XChaChaPoly.seal(
                cookie(for: address, now, &entropy).bytes, key: DatagramFormat.cookieKey(key.publicKey), nonce: nonce,
                associated: mac1.bytes))
        return writer.bytes
    }

    private mutating func receiveCookie(
        _ datagram: [UInt8], _ now: Timestamp, _ entropy: inout Entropy
    ) -> [Effect] {
        let index = DatagramFormat.index(datagram, at: 4)
        guard datagram.count == DatagramFormat.cookieSize, let (pending, id) = initiated[index],
            let nonce = Bytes24(datagram[8..<32])
        else {
            counters.malformed += 1
            return []
        }
        guard
            let bytes = try? XChaChaPoly.open(
                Array(datagram[32...]), key: DatagramFormat.cookieKey(pending.peer), nonce: nonce,
                associated: pending.mac1.bytes), let cookie = Bytes16(bytes)
        else {
            counters.unauthenticated += 1
            return []
        }
        if cookies.count >= DatagramEndpoint.sessionLimit { cookies.removeAll(keepingCapacity: true) }
        cookies[pending.peer] = (cookie, now.adding(seconds: 110))
        // One answer to a cookie at once; further ones wait for the timer.
        guard calls[id]?.attempts == 1 else { return [] }
        return attempt(id, now, &entropy)
    }

    private mutating func remember(_ ephemeral: Bytes32) {
        if ephemeralOrder.count >= DatagramEndpoint.ephemeralLimit {
            for old in ephemeralOrder.prefix(DatagramEndpoint.ephemeralLimit / 2) { ephemerals.remove(old) }
            ephemeralOrder.removeFirst(DatagramEndpoint.ephemeralLimit / 2)
        }
        ephemerals.insert(ephemeral)
        ephemeralOrder.append(ephemeral)
    }
}
