import Primitives
import Wire

/// A call that waits for its answer.
struct DatagramCall: Sendable {
    /// Milliseconds to wait after each transmission; after the last the call has failed.
    static let delays: [UInt64] = [500, 1000, 2000]

    let name: UInt64
    let address: SocketAddress
    let peer: X25519PublicKey
    let request: [UInt8]
    /// By this the responder knows a repetition, whichever way it comes.
    let requestID: Bytes16
    /// Transmissions so far.
    var attempt = 0
    var sessionUsed: UInt32?
    var handshake: BegunHandshake?

    /// A handshake whose second message is awaited. The first is sent again unchanged but for `mac2`.
    struct BegunHandshake: Sendable {
        let index: UInt32
        let state: WaitingHandshake
        /// The initiation without its MACs.
        let body: [UInt8]
        let mac1: Bytes16
        var cookie: Bytes16?
        /// Whether a cookie was obeyed since the last transmission: once is enough.
        var cookieObeyed = false
    }
}

struct CallTimer: Sendable {
    let due: Timestamp
    let serial: UInt64
}

extension DatagramEndpoint {
    mutating func begin(_ call: DatagramCall, now: Timestamp, entropy: inout Entropy) -> [Effect] {
        callSerial += 1
        calls[callSerial] = call
        callOfRequest[call.requestID] = callSerial
        return transmit(callSerial, now: now, entropy: &entropy)
    }

    /// Sends the request: first over a session when there is one, otherwise and later in a handshake.
    private mutating func transmit(_ serial: UInt64, now: Timestamp, entropy: inout Entropy) -> [Effect] {
        guard let call = calls[serial], call.attempt < DatagramCall.delays.count else { return [] }
        let due = now.adding(milliseconds: DatagramCall.delays[call.attempt])
        timers[call.attempt].append(CallTimer(due: due, serial: serial))
        calls[serial]?.attempt += 1
        if call.attempt > 0 { counters.retransmissions += 1 }

        if call.attempt == 0, let index = usableSession(call.peer, now) {
            let payload = TransportPayload(kind: .request, requestID: call.requestID, body: call.request)
            if let datagram = seal(payload, session: index) {
                calls[serial]?.sessionUsed = index
                return [.send(datagram, to: call.address)]
            }
        }
        if call.handshake == nil { beginHandshake(serial, call, now: now, entropy: &entropy) }
        calls[serial]?.handshake?.cookieObeyed = false
        return sendInitiation(serial)
    }

    private func usableSession(_ peer: X25519PublicKey, _ now: Timestamp) -> UInt32? {
        guard let index = sessionOfPeer[peer], let session = sessions[index],
            now.milliseconds(since: session.created) < DatagramBounds.sessionUsed
        else { return nil }
        return index
    }

    private mutating func beginHandshake(
        _ serial: UInt64, _ call: DatagramCall, now: Timestamp, entropy: inout Entropy
    ) {
        let index = freshIndex(&entropy)
        var noise = NoiseHandshake.initiator(
            .ik, prologue: DatagramFormat.prologue(senderIndex: index), identity: key.copy(), responder: call.peer,
            ephemeral: X25519PrivateKey(&entropy))
        let payload = InitiationPayload(timestamp: now, requestID: call.requestID, body: call.request)
        do throws(LinkError) {
            let message = try noise.write(payload.encode())
            let body = DatagramFormat.header(DatagramFormat.initiation, index) + message
            let mac1 = DatagramMAC.mac1(body, key: DatagramMAC.mac1Key(of: call.peer))
            calls[serial]?.handshake = DatagramCall.BegunHandshake(
                index: index, state: WaitingHandshake(noise), body: body, mac1: mac1)
            callOfIndex[index] = serial
            counters.handshakesBegun += 1
        } catch {
            // The peer's key is of low order: nothing is sent, and the call fails with its last timer.
            count(error)
        }
    }

    private func sendInitiation(_ serial: UInt64) -> [Effect] {
        guard let call = calls[serial], let handshake = call.handshake else { return [] }
        let datagram = DatagramMAC.append(
            to: handshake.body, key: DatagramMAC.mac1Key(of: call.peer), cookie: handshake.cookie)
        return [.send(datagram, to: call.address)]
    }

    mutating func receiveResponse(_ datagram: [UInt8], from address: SocketAddress, now: Timestamp) -> [Effect] {
        let index = DatagramFormat.index(datagram)
        guard let serial = callOfIndex[index], let call = calls[serial], call.address == address,
            let handshake = call.handshake
        else {
            counters.unknown += 1
            return []
        }
        do throws(LinkError) {
            var noise = handshake.state.copy()
            let plaintext = try noise.read(Array(datagram[DatagramFormat.indexSize...]))
            let payload: ResponsePayload
            do throws(WireError) {
                payload = try ResponsePayload(decoding: plaintext)
            } catch {
                throw LinkError.malformed
            }
            let keys = try noise.split()
            let session = DatagramSession(
                peer: call.peer, address: address, remoteIndex: payload.senderIndex, created: now, keys: keys,
                role: .initiator)
            let effects = finish(requestID: call.requestID, peer: call.peer, body: payload.body)
            keep(session, index: index, now: now)
            sessionOfPeer[call.peer] = index
            return effects
        } catch {
            count(error)
            return []
        }
    }

    mutating func receiveCookie(_ datagram: [UInt8], from address: SocketAddress) -> [Effect] {
        guard let serial = callOfIndex[DatagramFormat.index(datagram)], let call = calls[serial],
            call.address == address, let handshake = call.handshake, !handshake.cookieObeyed
        else {
            counters.unknown += 1
            return []
        }
        do throws(LinkError) {
            let cookie = try CookieReply.decode(datagram, mac1: handshake.mac1, responder: call.peer)
            calls[serial]?.handshake?.cookie = cookie
            calls[serial]?.handshake?.cookieObeyed = true
            counters.cookiesRequired += 1
            return sendInitiation(serial)
        } catch {
            count(error)
            return []
        }
    }

    /// Ends the call that an authenticated answer of `peer` is for.
    mutating func finish(requestID: Bytes16, peer: X25519PublicKey, body: [UInt8]) -> [Effect] {
        guard let serial = callOfRequest[requestID], let call = calls[serial], call.peer == peer else {
            counters.unknown += 1
            return []
        }
        drop(serial, call)
        return [.answered(call: call.name, body: body)]
    }

    private mutating func drop(_ serial: UInt64, _ call: DatagramCall) {
        calls[serial] = nil
        callOfRequest[call.requestID] = nil
        if let handshake = call.handshake { callOfIndex[handshake.index] = nil }
        // Timers of ended calls wake nobody.
        for attempt in timers.indices {
            while let timer = timers[attempt].first, calls[timer.serial] == nil { timers[attempt].removeFirst() }
        }
    }

    mutating func runTimers(_ now: Timestamp, entropy: inout Entropy) -> [Effect] {
        var effects: [Effect] = []
        for attempt in timers.indices {
            while let timer = timers[attempt].first {
                // Timers of ended calls are dropped on sight, so that they wake nobody.
                guard let call = calls[timer.serial] else {
                    timers[attempt].removeFirst()
                    continue
                }
                guard timer.due <= now else { break }
                timers[attempt].removeFirst()
                // The peer may have lost the session: it is not used for new calls until it proves alive.
                if let index = call.sessionUsed, sessionOfPeer[call.peer] == index { sessionOfPeer[call.peer] = nil }
                if call.attempt < DatagramCall.delays.count {
                    effects += transmit(timer.serial, now: now, entropy: &entropy)
                } else {
                    counters.failures += 1
                    drop(timer.serial, call)
                    effects.append(.failed(call: call.name))
                }
            }
        }
        return effects
    }
}
