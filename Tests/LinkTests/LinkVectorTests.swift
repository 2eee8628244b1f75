import Foundation
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Link

/// Handshakes, frames and datagrams against specs/vectors/link.json, which Tests/Peers/link.py wrote.
@Suite("Links of another implementation")
struct LinkVectorTests {
    @Test("every stream handshake, its transport keys and its frames are the same as in the committed vectors")
    func streams() throws {
        let streams = try Peer.vectors("link", as: LinkVectors.self).streams
        #expect(streams.map(\.pattern) == ["IK", "NK"])
        for made in streams {
            let pattern = made.pattern == "IK" ? NoisePattern.ik : .nk
            #expect(Hex.encode(StreamHandshake.prologue(pattern)) == made.prologue)
            let identity: X25519PrivateKey?
            if let hex = made.initiatorStatic { identity = try privateKey(hex) } else { identity = nil }
            let server = try privateKey(made.responderStatic)
            var initiator = NoiseHandshake.initiator(
                pattern, prologue: try bytes(made.prologue), identity: identity, responder: server.publicKey,
                ephemeral: try privateKey(made.initiatorEphemeral))
            var responder = NoiseHandshake.responder(
                pattern, prologue: try bytes(made.prologue), identity: server.copy(),
                ephemeral: try privateKey(made.responderEphemeral))

            let postQuantum = try MLKEM768.PrivateKey(seed: try secret(made.seed))
            #expect(Hex.encode(postQuantum.publicKey) == made.encapsulationKey)
            let first = [pattern.rawValue] + (try initiator.write(postQuantum.publicKey))
            #expect(Hex.encode(first) == made.first)
            #expect(StreamResponder.firstMessageSize(startingWith: first.first) == first.count)
            let offered = try responder.read(Array(first.dropFirst()))
            #expect(Hex.encode(offered) == made.encapsulationKey)
            let second = try responder.write(try bytes(made.ciphertext))
            #expect(Hex.encode(second) == made.second)
            #expect(second.count == StreamInitiator.secondMessageSize)
            let ciphertext = try initiator.read(second)
            let shared = try postQuantum.decapsulate(ciphertext)
            #expect(hex(shared) == made.secret)

            let near = try initiator.split()
            let far = try responder.split()
            #expect(near.hash.hex == made.handshakeHash && far.hash.hex == made.handshakeHash)
            #expect(hex(near.fromInitiator) == made.noiseKeys.initiator)
            #expect(hex(far.fromResponder) == made.noiseKeys.responder)
            let fromInitiator = StreamHandshake.mix(near.fromInitiator, shared, near.hash)
            let fromResponder = StreamHandshake.mix(far.fromResponder, shared, far.hash)
            #expect(hex(fromInitiator) == made.transportKeys.initiator)
            #expect(hex(fromResponder) == made.transportKeys.responder)
            for (key, expected) in [
                (made.transportKeys.initiator, made.rekeyed.initiator),
                (made.transportKeys.responder, made.rekeyed.responder),
            ] {
                var cipher = NoiseCipher(key: try secret(key))
                cipher.rekey()
                let next = cipher.takeKey()
                #expect(hex(next) == expected)
            }
            for frame in made.frames { try check(frame, made.transportKeys) }
        }
    }

    /// Sealed by us it is the same, and what was sealed there opens.
    private func check(_ frame: LinkVectors.Frame, _ keys: LinkVectors.Sides) throws {
        let key = frame.sender == "initiator" ? keys.initiator : keys.responder
        let counter = try #require(UInt64(frame.counter))
        let kind = try #require(UInt8(frame.kind))
        func session() throws -> StreamSession {
            StreamSession(
                sending: NoiseCipher(key: try secret(key), counter: counter),
                receiving: NoiseCipher(key: try secret(key), counter: counter), handshakeHash: Bytes64())
        }
        let body = try bytes(frame.body)
        var sender = try session()
        #expect(Hex.encode(try sender.frame(kind: kind, body)) == frame.frame)
        var receiver = try session()
        let opened = try receiver.read(try bytes(frame.frame))
        #expect(opened.kind == kind && opened.body == body)
    }

    @Test("initiation, cookie, response and transport datagrams are the same as in the committed vectors")
    func datagrams() throws {
        for made in try Peer.vectors("link", as: LinkVectors.self).datagrams {
            let server = try privateKey(made.responderStatic)
            let near = try #require(UInt32(made.initiatorIndex))
            let far = try #require(UInt32(made.responderIndex))
            let prologue = DatagramFormat.prologue(senderIndex: near)
            #expect(Hex.encode(prologue) == made.prologue)
            var initiator = NoiseHandshake.initiator(
                .ik, prologue: prologue, identity: try privateKey(made.initiatorStatic), responder: server.publicKey,
                ephemeral: try privateKey(made.initiatorEphemeral))
            var responder = NoiseHandshake.responder(
                .ik, prologue: prologue, identity: server.copy(), ephemeral: try privateKey(made.responderEphemeral))

            let request = InitiationPayload(
                timestamp: Timestamp(milliseconds: try #require(UInt64(made.timestamp))),
                requestID: try fixed(made.requestID), body: try bytes(made.request))
            #expect(Hex.encode(request.encode()) == made.initiationPayload)
            let unproven =
                DatagramFormat.header(DatagramFormat.initiation, near)
                + (try initiator.write(request.encode()))
            let key = DatagramMAC.mac1Key(of: server.publicKey)
            #expect(key.hex == made.mac1Key)
            let initiation = DatagramMAC.append(to: unproven, key: key, cookie: nil)
            #expect(Hex.encode(initiation) == made.initiation)
            #expect(DatagramMAC.carriedMAC1(initiation).hex == made.mac1)

            let cookie = CookieSource.cookie(
                SocketAddress(address: try fixed(made.address), port: try #require(UInt16(made.port))),
                try secret(made.cookieSecret))
            #expect(cookie.hex == made.cookie)
            #expect(hex(DatagramMAC.replyKey(of: server.publicKey)) == made.replyKey)
            let reply = try bytes(made.cookieReply)
            #expect(reply.count == DatagramFormat.cookieReplySize && Hex.encode(reply[5..<29]) == made.replyNonce)
            let unsealed = try CookieReply.decode(reply, mac1: try fixed(made.mac1), responder: server.publicKey)
            #expect(unsealed == cookie)
            let repeated = DatagramMAC.append(to: unproven, key: key, cookie: cookie)
            #expect(Hex.encode(repeated) == made.initiationWithCookie)
            #expect(DatagramMAC.carriedMAC2(repeated).hex == made.mac2)

            let payload = try responder.read(Array(initiation[5..<1200]))
            #expect(Hex.encode(payload) == made.initiationPayload)
            let answer = ResponsePayload(senderIndex: far, body: try bytes(made.answer))
            #expect(Hex.encode(answer.encode()) == made.responsePayload)
            let response =
                DatagramFormat.header(DatagramFormat.response, near)
                + (try responder.write(answer.encode()))
            #expect(Hex.encode(response) == made.response)
            _ = try initiator.read(Array(response[5...]))
            let keys = try initiator.split()
            #expect(keys.hash.hex == made.handshakeHash)
            #expect(hex(keys.fromInitiator) == made.transportKeys.initiator)
            #expect(hex(keys.fromResponder) == made.transportKeys.responder)
            try check(made.transport, keys, near: near, far: far)
        }
    }

    private func check(
        _ transport: [LinkVectors.Transport], _ keys: borrowing NoiseKeys, near: UInt32, far: UInt32
    ) throws {
        func session(_ role: NoiseHandshake.Role) -> DatagramSession {
            DatagramSession(
                peer: X25519PublicKey(Bytes32()), address: SocketAddress(v4: (127, 0, 0, 1), port: 9),
                remoteIndex: role == .initiator ? far : near,
                created: Timestamp(milliseconds: 0), keys: keys, role: role)
        }
        for made in transport {
            let isCaller = made.sender == "initiator"
            let payload = TransportPayload(
                kind: try #require(UInt8(made.kind).flatMap { TransportPayload.Kind(rawValue: $0) }),
                requestID: try fixed(made.requestID), body: try bytes(made.body))
            #expect(made.datagram.hasPrefix(made.associated))
            if made.counter == "0" {
                var sender = session(isCaller ? .initiator : .responder)
                #expect(Hex.encode(try sender.seal(payload)) == made.datagram)
            }
            var receiver = session(isCaller ? .responder : .initiator)
            var room: [UInt8] = []
            let opened = try receiver.open(try bytes(made.datagram), room: &room)
            #expect(opened.kind == payload.kind && opened.requestID == payload.requestID)
            #expect(opened.body == payload.body)
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("link").writesVectors()) }

    private func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }

    private func fixed<Value: FixedBytes>(_ hex: String) throws -> Value { try #require(Value(bytes(hex))) }

    private func secret(_ hex: String) throws -> SecretBytes {
        var bytes = try bytes(hex)
        return SecretBytes(taking: &bytes)
    }

    private func hex(_ secret: borrowing SecretBytes) -> String { secret.withUnsafeBytes { Hex.encode($0) } }
}

/// What specs/vectors/link.json holds; specs/vectors/README.md explains the fields.
private struct LinkVectors: Decodable {
    let streams: [Stream]
    let datagrams: [Datagram]

    struct Sides: Decodable {
        let initiator, responder: String
    }

    struct Stream: Decodable {
        let pattern, responderStatic, initiatorEphemeral, responderEphemeral, seed, prologue: String
        let initiatorStatic: String?
        let encapsulationKey, first, ciphertext, second, secret, handshakeHash: String
        let noiseKeys, transportKeys, rekeyed: Sides
        let frames: [Frame]
    }

    struct Frame: Decodable {
        let sender, counter, kind, body, frame: String
    }

    struct Datagram: Decodable {
        let initiatorStatic, responderStatic, initiatorEphemeral, responderEphemeral: String
        let initiatorIndex, responderIndex, timestamp, requestID, request, answer, prologue, initiationPayload: String
        let mac1Key, mac1, initiation, cookieSecret, address, port, cookie, replyKey, replyNonce, cookieReply: String
        let mac2, initiationWithCookie, responsePayload, response, handshakeHash: String
        let transportKeys: Sides
        let transport: [Transport]
    }

    struct Transport: Decodable {
        let sender, counter, kind, requestID, body, associated, datagram: String
    }
}
