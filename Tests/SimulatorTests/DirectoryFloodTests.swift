import Directory
import Primitives
import Records
import Testing
import Wire

@testable import Simulator

@Suite("Floods of records")
struct DirectoryFloodTests {
    @Test("a flood without puzzles is refused after its free share, and honest publishers get through meanwhile")
    func flood() throws {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 20
        let world = try DirectoryWorld(nodes: 40, seed: 7, configuration: configuration)
        try world.addUsers(1)
        var flooded: [NodeID: Int] = [:]
        for number in 0..<120 {
            let user = try DirectoryUser(
                seed: 100_000 + UInt64(number), published: world.now.seconds, epoch: world.now.epoch)
            for holder in world.placement.holders(of: user.blindedKey) {
                let index = try #require(world.indices[holder])
                let effects = try world.nodes[index].handle(
                    .request(from: nil, token: 1, message: DirectoryMessage.put(record: user.record).encode()),
                    now: world.now, entropy: &world.entropy)
                for case .answer(1, let bytes) in effects {
                    if case .stored = try DirectoryMessage(decoding: bytes) { flooded[holder, default: 0] += 1 }
                }
            }
        }
        #expect(flooded.count > 30)
        #expect((flooded.values.max() ?? 0) < configuration.freePuts)
        let demanded = world.nodes.reduce(0) { $0 + $1.core.counters.puzzlesDemanded }
        #expect(demanded > 120 * 20 / 2)
        // The pressure is still there.
        let honest = try DirectoryUser(seed: 7, published: world.now.seconds, epoch: world.now.epoch)
        #expect(try world.publish(honest) == 20)
        let accepted = world.nodes.reduce(0) { $0 + $1.core.counters.puzzlesAccepted }
        #expect(accepted == 20)
    }

    @Test(
        "while a federation is upgraded publishers get through to holders that know no challenges, and no puzzles at all",
        arguments: [DirectoryMessage.challengedPutKind - 1, DirectoryMessage.firstVersion])
    func earlierVersions(highestRequest: UInt8) throws {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 1
        configuration.highestRequest = highestRequest
        let world = try DirectoryWorld(nodes: 40, seed: 8, configuration: configuration)
        let honest = try DirectoryUser(seed: 8, published: world.now.seconds, epoch: world.now.epoch)
        #expect(try world.publish(honest) == 20)
        let counters = world.nodes.map(\.core.counters)
        #expect(counters.reduce(0) { $0 + $1.unsupported } == 20)
        let solved: UInt64 = highestRequest == DirectoryMessage.firstVersion ? 0 : 20
        #expect(counters.reduce(0) { $0 + $1.puzzlesUnchallenged } == solved)
        #expect(counters.reduce(0) { $0 + $1.puzzlesDemanded } == solved)
    }
}
