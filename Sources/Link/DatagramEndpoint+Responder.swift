import Primitives
import Wire

/// Names a request: the caller's key and its random number for it.
struct RequestKey: Hashable, Sendable {
    let peer: X25519PublicKey
    let id: Bytes16
}

/// Where the answer to a request goes: where the latest copy of the request came from.
enum AnswerPath: Sendable {
    /// Over the session with this index of ours.
    case session(UInt32, SocketAddress)
    /// As second message of the handshake with this ephemeral key.
    case handshake(Bytes32, SocketAddress)
}

/// A request of a peer: handed to the owner once, however often it arrives.
struct PendingRequest: Sendable {
    let key: RequestKey
    var path: AnswerPath
    var answer: [UInt8]?
}

/// A first message that was accepted, by its ephemeral key.
struct AnsweredHandshake: Sendable {
    let peer: X25519PublicKey
    /// The initiator's index.
    let remoteIndex: UInt32
    let accepted: Timestamp
    /// Until the second message is written.
    var state: WaitingHandshake?
    /// The second message, for repetition.
    var response: [UInt8]?
    /// Our index of the session that the second message established.
    var session: UInt32?
}

extension DatagramEndpoint {
    /// Checks in order of cost: MAC, cookie and load, memory, and only then Diffie–Hellman.
    mutating func receiveInitiation(
        _ datagram: [UInt8], from address: SocketAddress, now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        guard ConstantTime.equal(DatagramMAC.carriedMAC1(datagram), DatagramMAC.mac1(datagram, key: mac1Key)),
            let ephemeral = Bytes32(datagram[DatagramFormat.indexSize..<DatagramFormat.indexSize + 32])
        else {
            counters.unauthenticated += 1
            return []
        }
        let index = DatagramFormat.index(datagram)
        let isProven = cookies.accepts(datagram, from: address, now: now, entropy: &entropy)
        // Repetitions too: a recording can be sent as fast as a new message, and is answered with as many bytes.
        switch budget.admit(address, isProven: isProven, bounds, now) {
        case .admitted:
            if let known = handshakes[ephemeral] { return repeatResponse(known, to: address, now: now) }
            return acceptInitiation(
                datagram, ephemeral, index, from: address, isProven: isProven, now: now, entropy: &entropy)
        case .unproven:
            counters.cookiesSent += 1
            let cookie = cookies.cookie(for: address, now: now, entropy: &entropy)
            let reply = CookieReply.encode(
                receiver: index, cookie: cookie, initiation: datagram, responder: publicKey, entropy: &entropy)
            return [.send(reply, to: address)]
        case .overloaded: counters.overloaded += 1
        case .overPrefix: counters.overPrefix += 1
        }
        return []
    }

    /// A first message that was accepted before. No Diffie–Hellman operation is done.
    private mutating func repeatResponse(
        _ known: AnsweredHandshake, to address: SocketAddress, now: Timestamp
    ) -> [Effect] {
        counters.duplicates += 1
        // As long as the datagram that asked for it, so a forged address gains nothing. Later it can only be a replay.
        guard let response = known.response, now.milliseconds(since: known.accepted) < DatagramBounds.requestKept
        else { return [] }
        // Whoever uses the session may have had the response at this address or at the first one.
        if let index = known.session {
            _ = sessions.update(index) { if $0.address != address { $0.address = nil } }
        }
        return [.send(response, to: address)]
    }

    private mutating func acceptInitiation(
        _ datagram: [UInt8], _ ephemeral: Bytes32, _ index: UInt32, from address: SocketAddress, isProven: Bool,
        now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        var noise = NoiseHandshake.responder(
            .ik, prologue: DatagramFormat.prologue(senderIndex: index), identity: key.copy(),
            ephemeral: X25519PrivateKey(&entropy))
        let payload: InitiationPayload
        do throws(LinkError) {
            let end = datagram.count - 2 * DatagramFormat.macSize
            let plaintext = try noise.read(Array(datagram[DatagramFormat.indexSize..<end]))
            do throws(WireError) {
                payload = try InitiationPayload(decoding: plaintext)
            } catch {
                throw LinkError.malformed
            }
        } catch {
            count(error)
            return []
        }
        guard let peer = noise.remoteStatic else { return [] }
        let difference = max(
            now.milliseconds(since: payload.timestamp), payload.timestamp.milliseconds(since: now))
        guard difference <= DatagramBounds.clockDifference else {
            counters.expired += 1
            return []
        }
        counters.handshakes += 1
        let handshake = AnsweredHandshake(peer: peer, remoteIndex: index, accepted: now, state: WaitingHandshake(noise))
        // One millisecond more: at the very end of the span the clock still lets a replay pass.
        let expiry = now.adding(milliseconds: DatagramBounds.initiationKept + 1)
        if handshakes.insert(ephemeral, handshake, expiry: expiry) != nil { counters.evicted += 1 }
        return accept(
            RequestKey(peer: peer, id: payload.requestID), body: payload.body, path: .handshake(ephemeral, address),
            from: address, isProven: isProven, now: now, entropy: &entropy)
    }

    /// Hands a request to the owner, unless it was before: then the answer, if there is one, goes out again.
    mutating func accept(
        _ key: RequestKey, body: [UInt8], path: AnswerPath, from address: SocketAddress, isProven: Bool,
        now: Timestamp, entropy: inout Entropy
    ) -> [Effect] {
        if let token = tokenOfRequest[key] {
            counters.duplicates += 1
            let isAnswered = requests.update(token) { request in
                request.path = path
                return request.answer != nil
            }
            return isAnswered == true ? sendAnswer(token, now: now, entropy: &entropy) : []
        }
        lastToken += 1
        let expiry = now.adding(milliseconds: DatagramBounds.requestKept)
        if let evicted = requests.insert(lastToken, PendingRequest(key: key, path: path), expiry: expiry) {
            counters.evicted += 1
            tokenOfRequest[evicted.value.key] = nil
        }
        tokenOfRequest[key] = lastToken
        return [.requested(token: lastToken, peer: key.peer, from: address, isProven: isProven, body: body)]
    }

    /// Sends the answer that the request holds to where the request last came from.
    mutating func sendAnswer(_ token: UInt64, now: Timestamp, entropy: inout Entropy) -> [Effect] {
        guard let request = requests[token], let body = request.answer else { return [] }
        switch request.path {
        case .session(let index, let address):
            let payload = TransportPayload(kind: .answer, requestID: request.key.id, body: body)
            guard let datagram = seal(payload, session: index) else {
                counters.unknown += 1
                return []
            }
            return [.send(datagram, to: address)]
        case .handshake(let ephemeral, let address):
            guard let response = respond(ephemeral, address, body, now: now, entropy: &entropy) else {
                counters.unknown += 1
                return []
            }
            return [.send(response, to: address)]
        }
    }

    /// Writes the second message and keeps the session, which calls of ours use once the peer has used it.
    private mutating func respond(
        _ ephemeral: Bytes32, _ address: SocketAddress, _ body: [UInt8], now: Timestamp, entropy: inout Entropy
    ) -> [UInt8]? {
        guard let handshake = handshakes[ephemeral] else { return nil }
        guard let state = handshake.state else { return handshake.response }
        var noise = state.copy()
        let index = freshIndex(&entropy)
        do throws(LinkError) {
            let message = try noise.write(ResponsePayload(senderIndex: index, body: body).encode())
            let response = DatagramFormat.header(DatagramFormat.response, handshake.remoteIndex) + message
            let keys = try noise.split()
            keep(
                DatagramSession(
                    peer: handshake.peer, address: address, remoteIndex: handshake.remoteIndex, created: now,
                    keys: keys, role: .responder),
                index: index, now: now)
            _ = handshakes.update(ephemeral) { entry in
                entry.state = nil
                entry.response = response
                entry.session = index
            }
            return response
        } catch {
            count(error)
            return nil
        }
    }
}
