import Primitives
import Testing

@testable import Simulator

/// The world's round trips.
@Suite struct RegionLatencyTests {
    @Test("the table that is part of the program has the world's regions, the same in both directions")
    func world() throws {
        let world = RegionLatency()
        #expect(world.names.count == 22 && Set(world.names).count == 22)
        let frankfurt = try #require(world.names.firstIndex(of: "eu-central-1"))
        let virginia = try #require(world.names.firstIndex(of: "us-east-1"))
        let sydney = try #require(world.names.firstIndex(of: "ap-southeast-2"))
        #expect(world.roundTrip(frankfurt, virginia) == 93)
        for from in world.names.indices {
            for to in world.names.indices {
                #expect(world.roundTrip(from, to) == world.roundTrip(to, from))
                #expect(world.roundTrip(from, to) >= world.roundTrip(from, from))
            }
        }
        #expect(world.roundTrip(frankfurt, sydney) > 2 * world.roundTrip(frankfurt, virginia))
    }

    @Test("regions are drawn by their share, and a delay is half the round trip and access")
    func draws() {
        let world = RegionLatency()
        var entropy = Entropy(seed: 3)
        var counts = [Int](repeating: 0, count: world.names.count)
        for _ in 0..<20_000 { counts[world.region(&entropy)] += 1 }
        #expect(counts.allSatisfy { $0 > 0 })
        // Twelve in a hundred.
        #expect((2100...2700).contains(counts[0]))
        for _ in 0..<1000 {
            let (from, to) = (world.region(&entropy), world.region(&entropy))
            let access = world.delay(from, to, &entropy) - world.roundTrip(from, to) / 2
            #expect((2...12).contains(access))
        }
    }

    @Test(
        "a line that is wrong is named",
        arguments: [
            ("a 60 1\nb 40 9 1 5\n", 2), ("a 60 1\nb 40 9\n", 2), ("a 60 1\nb x 9 1\n", 2), ("a 60 -1\nb 40 9 1\n", 1),
            ("# percent\na 60 1\nb 41 9 1\n", 0), ("", 0),
        ])
    func malformed(_ table: String, _ line: Int) throws {
        #expect(throws: RegionLatency.Malformed(line: line)) { _ = try RegionLatency(table: table) }
        let good = try RegionLatency(table: "# two\n\na 60 1\nb 40 9 2\n")
        #expect(good.names == ["a", "b"] && good.roundTrip(0, 1) == 9 && good.roundTrip(1, 1) == 2)
    }
}
