import NIOCore
import Primitives
import Records
import Testing

@testable import Agent

/// An agent's links with bootstrap peers are few, whatever these do.
@Suite("Rounds of bootstrap peers")
final class BootstrapRoundsTests {
    private var entropy = Entropy(seed: 170)
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func peers() throws -> [PeerLink] {
        try (0..<20).map { number in
            let key = SigningKey(&entropy)
            return try PeerLink(
                clusterID: key.publicKey, linkKey: X25519PublicKey(entropy.bytes()), host: "127.0.0.\(number + 1)",
                port: 7411)
        }
    }

    @Test("begin two links each three seconds while nobody answers, and never have more than four")
    func silent() throws {
        let peers = try peers()
        var rounds = BootstrapRounds()
        var begun: [Int] = []
        for second in 0..<60 {
            begun.append(rounds.begin(peers, at: start + .seconds(Int64(second)), entropy: &entropy).count)
            #expect(rounds.connecting + rounds.open.count <= BootstrapRounds.limit)
        }
        #expect(begun[0] == 2 && begun[1] == 0 && begun[3] == 2 && begun[4...].allSatisfy { $0 == 0 })
        // Those that fail make room for others.
        for _ in 0..<4 { rounds.closed(nil) }
        #expect(rounds.begin(peers, at: start + .seconds(70), entropy: &entropy).count == 2)
    }

    @Test("wait a quarter of a minute after an answer, and count each link once")
    func answered() throws {
        let peers = try peers()
        var rounds = BootstrapRounds()
        #expect(rounds.begin(peers, at: start, entropy: &entropy).count == 2)
        rounds.established(7, at: start + .seconds(1))
        rounds.established(8, at: start + .seconds(1))
        #expect(rounds.open == [7, 8] && rounds.connecting == 0)
        #expect(rounds.begin(peers, at: start + .seconds(12), entropy: &entropy).isEmpty)
        rounds.closed(7)
        rounds.closed(8)
        #expect(rounds.open.isEmpty && rounds.connecting == 0)
        #expect(rounds.begin(peers, at: start + .seconds(16), entropy: &entropy).count == 2)
        // A list of one is enough.
        var lone = BootstrapRounds()
        #expect(lone.begin(Array(peers.prefix(1)), at: start, entropy: &entropy).count == 1)
    }
}
