import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("Negative answers")
struct AbsenceTests {
    private static let now = Timestamp(seconds: 20_000 * 86_400 + 50_000)

    /// Resolves an ID at twenty holders, of whom each answers what `answer` says; how it ends, and answers that were
    /// refused.
    private static func resolve(
        _ answer: (_ index: Int, _ server: borrowing SigningKey, _ key: VerifyingKey) -> DirectoryMessage
    ) throws -> (error: LookupFailure?, invalid: Int) {
        var entropy = Entropy(seed: 41)
        let user = SigningKey(&entropy)
        let seeds = (0..<20).map { _ in entropy.bytes(Bytes32.self) }
        func server(_ index: Int) -> SigningKey {
            var own = Entropy(seed: seeds[index])
            return SigningKey(&own)
        }
        let nodes = (0..<20).map { Node.id(of: server($0).publicKey) }
        let id = try BlindedID(NetworkID(key: user.publicKey), epoch: now.epoch)
        var lookup = Lookup(
            user: id,
            rings: (0..<4).map { Array(nodes[5 * $0..<5 * $0 + 5]) }, directories: nodes, now: now, entropy: &entropy)
        let habits = LookupHabits()
        var invalid = 0
        for _ in 0..<100 {
            switch lookup.step(habits, now: now, queueDelay: 0) {
            case .ask(let holders):
                for holder in holders {
                    let index = try #require(nodes.firstIndex(of: holder))
                    let reading = lookup.read(answer(index, server(index), id.key), from: holder, now: now)
                    if case .invalid = reading { invalid += 1 }
                    lookup.take(nil, from: holder, now: now, grace: habits.waveGrace)
                }
            case .askFallback(let servers):
                for _ in servers {
                    _ = lookup.read(answer(0, server(0), id.key), from: nil, now: now)
                    lookup.take(nil, from: nil, now: now, grace: habits.waveGrace)
                }
            case .failed(let error): return (error, invalid)
            case .found, .wait:
                Issue.record("an ID without a record came to another end")
                return (nil, invalid)
            }
        }
        return (nil, invalid)
    }

    private static func statement(
        _ server: borrowing SigningKey, _ key: VerifyingKey, epoch: UInt64 = now.epoch, time: UInt64 = now.seconds
    ) -> DirectoryMessage {
        let digest = Absence.digest(server: server.publicKey, key: key, epoch: epoch, time: time)
        return .absent(Absence(serverID: server.publicKey, time: time, signature: server.sign(digest)))
    }

    @Test("that ten holders have signed are believed, nine are not")
    func quorum() throws {
        let ten = try AbsenceTests.resolve { index, server, key in
            index % 2 == 0 ? AbsenceTests.statement(server, key) : .missing
        }
        #expect(ten.error == .notFound(asked: 20, missing: 10))
        let nine = try AbsenceTests.resolve { index, server, key in
            index % 2 == 0 && index > 0 ? AbsenceTests.statement(server, key) : .missing
        }
        #expect(nine.error == .noAnswer(asked: 20))
        #expect(nine.invalid == 0)
    }

    @Test("that nobody has signed, or somebody else, or long ago, or about another day or key, are not believed")
    func forged() throws {
        #expect(try AbsenceTests.resolve { _, _, _ in .missing }.error == .noAnswer(asked: 20))
        var entropy = Entropy(seed: 42)
        let stranger = SigningKey(&entropy)
        let now = AbsenceTests.now
        let lies: [(borrowing SigningKey, VerifyingKey) -> DirectoryMessage] = [
            { _, key in AbsenceTests.statement(stranger, key) },
            { server, key in AbsenceTests.statement(server, key, time: now.seconds - 601) },
            { server, key in AbsenceTests.statement(server, key, time: now.seconds + 601) },
            { server, key in AbsenceTests.statement(server, key, time: .max) },
            { server, key in AbsenceTests.statement(server, key, epoch: now.epoch - 1) },
            { server, _ in AbsenceTests.statement(server, stranger.publicKey) },
        ]
        for lie in lies {
            let end = try AbsenceTests.resolve { _, server, key in lie(server, key) }
            #expect(end.error == .noAnswer(asked: 20))
            #expect(end.invalid == 20)
        }
    }
}
