import Records
import Storage
import Testing

@testable import Correspondence

/// Lookups that nobody asked for.
@Suite struct CoverLookupTests {
    private static let records = Table("directory/records")

    private func configuration(seconds: UInt64) -> AgentConfiguration {
        var configuration = AgentConfiguration()
        configuration.coverLookupInterval = seconds * 1000
        configuration.rate = 4
        return configuration
    }

    /// Servers ask each other for no records.
    private func requests(_ world: World) -> UInt64 {
        world.servers.reduce(0) { $0 + $1.directory.counters.hits + $1.directory.counters.misses }
    }

    @Test("an agent that resolves nobody asks holders all the same, and not when that is switched off")
    func dummies() throws {
        for seconds: UInt64 in [0, 10] {
            var world = try DeliveryTests.pair(50, configuration(seconds: seconds))
            // What belongs to the publication is over.
            try world.run(seconds: 30)
            let before = requests(world)
            try world.run(seconds: 200)
            let asked = requests(world) - before
            let audits = world.agents.reduce(0) { $0 + ($1.core?.counters.audits ?? 0) }
            if seconds == 0 {
                #expect(asked == 0)
                #expect(audits == 0)
            } else {
                // Two agents, 23 times in the mean each, half of them audits, seven servers asked at each.
                #expect((8...40).contains(audits), "\(audits)")
                #expect(asked > 7 * 20, "\(asked)")
            }
            #expect(world.agents.allSatisfy { $0.core?.counters.malformedAnswers == 0 })
        }
    }

    @Test("a record that holders have lost is published anew, at most once an hour")
    func audits() throws {
        var world = try DeliveryTests.pair(51, configuration(seconds: 15))
        try world.run(seconds: 30)
        func copies(_ world: World) throws -> Int {
            try world.servers.reduce(0) { try $0 + $1.store.count(CoverLookupTests.records) }
        }
        let whole = try copies(world)
        let published = world.agents.map { $0.core?.settings.sequence ?? 0 }
        func lose(_ world: inout World) throws {
            for index in world.servers.indices {
                var keys: [[UInt8]] = []
                try world.servers[index].store.scan(CoverLookupTests.records, from: []) { key, _ in
                    keys.append(key)
                    return true
                }
                for key in keys { try world.servers[index].store.delete(CoverLookupTests.records, key) }
            }
        }
        try lose(&world)
        #expect(try world.run(seconds: 600) { try copies($0) == whole })
        let restored = world.agents.map { $0.core?.settings.sequence ?? 0 }
        #expect(zip(published, restored).allSatisfy { $0 < $1 })
        #expect(world.agents.allSatisfy { ($0.core?.counters.replicasMissing ?? 0) > 0 })

        try lose(&world)
        try world.run(seconds: 120)
        #expect(world.agents.map { $0.core?.settings.sequence ?? 0 } == restored)
    }
}
