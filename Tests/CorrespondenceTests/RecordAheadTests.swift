import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// When records are published.
@Suite("Tomorrow's record")
struct RecordAheadTests {
    private static let midnight = Timestamp(seconds: 20_001 * 86_400)

    @Test("is published at a moment drawn over the three hours before its epoch, which a restart keeps")
    func drawn() throws {
        let seed: UInt64 = 411
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        var moments: [UInt64] = []
        for _ in 0..<2000 {
            var store = MemoryStore()
            var ahead = try RecordAhead(store)
            let noon = Timestamp(seconds: Self.midnight.seconds - 43_200)
            #expect(ahead.plan(noon, &entropy) && !ahead.plan(noon.adding(seconds: 3600), &entropy))
            try ahead.save(&store)
            let due = try #require(ahead.due)
            #expect(try RecordAhead(store).due == due)
            moments.append(Self.midnight.milliseconds - due.milliseconds)
        }
        let window = (RecordAhead.latest * 1000 + 1)...(RecordAhead.earliest * 1000)
        #expect(moments.allSatisfy { window.contains($0) })
        // Of eleven quarters of an hour, each has about its share: 182, with a deviation of 13.
        for quarter in 1...11 as ClosedRange<UInt64> {
            let count = moments.count { $0 / 900_000 == quarter || (quarter == 11 && $0 == 12 * 900_000) }
            #expect((100...264).contains(count), "\(quarter): \(count)")
        }
        #expect(Set(moments).count > 1990, "nobody shares a moment")
    }

    @Test("goes out soon when the agent comes late, but not in the moment in which today's does")
    func late() throws {
        var entropy = Entropy(seed: 412)
        var ahead = try RecordAhead(MemoryStore())
        let now = Timestamp(seconds: Self.midnight.seconds - 600)
        _ = ahead.plan(now, &entropy)
        let due = try #require(ahead.due).milliseconds - now.milliseconds
        #expect((1000...UInt64(RecordAhead.apart)).contains(due))
        let content: Bytes32 = entropy.bytes()
        ahead.follow(content, now.adding(milliseconds: due), &entropy)
        #expect(try #require(ahead.due).milliseconds >= now.milliseconds + due + 1000)
        ahead.published(content, refresh: now)
        ahead.confirmed()
        ahead.follow(content, now, &entropy)
        #expect(ahead.due == nil, "what it says has not changed")
        ahead.follow(entropy.bytes(), now, &entropy)
        #expect(ahead.due != nil)
    }

    @Test("of running agents is published over hours and never with today's, and midnight brings no burst")
    func evening() throws {
        var configuration = AgentConfiguration()
        configuration.coverLookupInterval = 0
        configuration.rate = 0.3
        var world = try World(seed: 413, start: Timestamp(seconds: Self.midnight.seconds - 11_000))
        for home in 0..<4 {
            let agent = try world.addAgent(configuration)
            try world.register(agent, at: home)
        }
        #expect(try world.run(seconds: 150) { $0.agents.allSatisfy { $0.registered.count == 1 } })
        var published: [[UInt64]] = Array(repeating: [], count: 4)
        var last = world.agents.map { $0.core?.ownRecords }
        _ = try world.run(seconds: 12_000) { world in
            for agent in 0..<4 {
                for epoch in [20_000, 20_001] as [UInt64] {
                    let own = world.agents[agent].core?.ownRecords.own(epoch) ?? 0
                    if own != last[agent]?.own(epoch) ?? 0 { published[agent].append(world.now.milliseconds) }
                }
                last[agent] = world.agents[agent].core?.ownRecords
            }
            return false
        }
        #expect(published.map(\.count) == [1, 1, 1, 1], "\(published)")
        let moments = published.compactMap(\.first).sorted()
        let (first, final) = (try #require(moments.first), try #require(moments.last))
        #expect(first >= Self.midnight.milliseconds - RecordAhead.earliest * 1000)
        #expect(final <= Self.midnight.milliseconds - RecordAhead.latest * 1000)
        #expect(zip(moments, moments.dropFirst()).allSatisfy { $1 - $0 > 1000 })
        // Today's record is the one that was published yesterday for today.
        #expect(world.now.epoch == 20_001)
        for agent in world.agents {
            #expect(try #require(agent.core?.settings.nextPublish) > world.now)
        }
        try world.resolve(0, world.agents[3].id)
        #expect(try world.run(seconds: 300) { !$0.agents[0].resolved.isEmpty })
    }
}
