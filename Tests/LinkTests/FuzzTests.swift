import Primitives
import Testing
import Wire

@testable import Link

/// Random and mutated bytes into everything that decodes; a crash is the failure.
@Suite("Link decoders under garbage")
struct FuzzTests {
    static let rounds = 3000

    /// A new seed in every run, printed so that a failure can be run again with it in place of `system()`.
    private func seed(_ name: String) -> Entropy {
        var system = Entropy.system()
        let seed = system.uint64()
        print("fuzz \(name) seed \(seed)")
        return Entropy(seed: seed)
    }

    private func mutate(_ bytes: [UInt8], _ entropy: inout Entropy) -> [UInt8] {
        var out = bytes
        for _ in 0...entropy.below(8) where !out.isEmpty { out[entropy.below(out.count)] = UInt8(entropy.below(256)) }
        switch entropy.below(6) {
        case 0: return Array(out.prefix(entropy.below(out.count + 1)))
        case 1: return out + entropy.array(entropy.below(40))
        default: return out
        }
    }

    @Test("payload decoders accept or refuse, and what they accept is within its limits")
    func payloads() {
        var entropy = seed("payloads")
        for _ in 0..<FuzzTests.rounds {
            let bytes = entropy.array(entropy.below(1300))
            if let payload = try? InitiationPayload(decoding: bytes) {
                #expect(payload.body.count <= DatagramEndpoint.bodyLimit)
            }
            if let payload = try? ResponsePayload(decoding: bytes) {
                #expect(payload.body.count <= DatagramEndpoint.bodyLimit)
            }
            if let payload = try? TransportPayload(decoding: bytes) {
                #expect(payload.body.count <= DatagramEndpoint.bodyLimit)
            }
        }
    }

    @Test("an endpoint gives garbage no answer longer than itself, and never takes it for a request")
    func endpoint() {
        var entropy = seed("endpoint")
        let now = Timestamp(seconds: 1_700_000_000)
        let (caller, peer) = (DatagramNode(1), DatagramNode(2))
        var corpus = caller.call(1, peer, [1], now: now)
        corpus += peer.receive(corpus[0], now: now)
        _ = caller.receive(corpus[1], now: now)
        corpus += caller.call(2, peer, [2], now: now)
        corpus += peer.receive(corpus[2], now: now)
        for _ in 0..<FuzzTests.rounds {
            var datagram = corpus[entropy.below(corpus.count)]
            let original = datagram.bytes
            if entropy.below(4) == 0 {
                datagram.bytes = entropy.array([0, 1, 4, 61, 1231, 1232, 1233][entropy.below(7)])
                if !datagram.bytes.isEmpty { datagram.bytes[0] = UInt8(entropy.below(6)) }
            } else {
                datagram.bytes = mutate(datagram.bytes, &entropy)
            }
            // Past the first check now and then, which needs no secret.
            if datagram.bytes.count == 1232, datagram.type == 1, entropy.below(2) == 0 {
                datagram.bytes = DatagramMAC.append(
                    to: Array(datagram.bytes.prefix(1200)), key: DatagramMAC.mac1Key(of: peer.publicKey), cookie: nil)
            }
            guard datagram.bytes.prefix(1216) != original.prefix(1216) else { continue }
            for node in [caller, peer] {
                let out = node.receive(datagram, now: now).reduce(0) { $0 + $1.bytes.count }
                #expect(out <= datagram.bytes.count)
            }
        }
        #expect(peer.processed == [[1]: 1, [2]: 1] && caller.processed.isEmpty)
    }

    @Test("a stream responder and initiator survive garbage")
    func streams() throws {
        var entropy = seed("streams")
        let key = privateKey(1)
        for round in 0..<200 {
            let start = try StreamPair.start(anonymous: round % 2 == 0, &entropy)
            let first = mutate(start.firstMessage, &entropy)
            var accepted = false
            do {
                _ = try StreamResponder.respond(to: first, key: key, entropy: &entropy).reply
                accepted = true
            } catch {}
            #expect(accepted == (first == start.firstMessage))
            var finished = false
            do {
                _ = try start.finish(entropy.array(StreamInitiator.secondMessageSize)).handshakeHash
                finished = true
            } catch {}
            #expect(!finished)
        }
    }

    @Test("a session opens no frame but the peer's next")
    func frames() throws {
        var entropy = seed("frames")
        var pair = try StreamPair()
        for _ in 0..<FuzzTests.rounds {
            let frame = try pair.initiator.frame(entropy.array(entropy.below(StreamSession.bodyLimit + 1)))
            let bad = mutate(frame, &entropy)
            if bad != frame { #expect(linkError { _ = try pair.responder.read(bad) } != nil) }
            #expect(linkError { _ = try pair.responder.read(frame) } == nil)
        }
    }

    @Test("a table and its queue stay within bounds under random use, and agree with a plain dictionary")
    func table() {
        var entropy = seed("table")
        var table = ExpiringTable<Int, Int>(capacity: 20)
        var plain: [Int: (value: Int, expiry: UInt64)] = [:]
        for moment in 0..<20_000 as Range<UInt64> {
            let now = Timestamp(milliseconds: moment)
            for (key, _) in table.removeExpired(at: now) { #expect(plain[key]?.expiry ?? 0 <= moment) }
            plain = plain.filter { $0.value.expiry > moment }
            let key = entropy.below(40)
            switch entropy.below(4) {
            case 0:
                #expect(table.remove(key) == plain.removeValue(forKey: key)?.value)
            default:
                if let evicted = table.insert(key, Int(moment), expiry: now.adding(milliseconds: 30)) {
                    let oldest = plain.min { $0.value.expiry < $1.value.expiry }?.key
                    #expect(evicted.key == oldest)
                    plain[evicted.key] = nil
                }
                plain[key] = (Int(moment), moment + 30)
            }
            #expect(table.count == plain.count && table.count <= 20)
            #expect(table[key] == plain[key]?.value)
        }
    }
}
