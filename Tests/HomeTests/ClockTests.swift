import Envelope
import Primitives
import Storage
import Testing
import Wire

@testable import Home

@Suite("A home whose clock is a day ahead for ten minutes")
struct ClockTests {
    @Test("loses no item before its time, and sends again what was not acknowledged when it would have")
    func items() throws {
        var configuration = HomeConfiguration()
        configuration.retention = 12 * 3600
        var fixture = Fixture(seed: 60, configuration)
        _ = try fixture.register()
        _ = try fixture.wake()
        #expect(try fixture.deliver([1]).isAccepted)
        for minute in 0..<10 {
            fixture.now = Fixture.noon.adding(seconds: 86_400 + UInt64(minute) * 60)
            _ = try fixture.wake()
        }
        // By that clock the first is over, but it may be wrong.
        #expect(try fixture.store.count(HomeTables.items) == 1)
        // Both go out, and are lost on their way.
        _ = try fixture.attach()
        _ = try fixture.attach()
        #expect(try fixture.deliver([2]).isAccepted)
        fixture.now = Fixture.noon.adding(seconds: 600)
        _ = try fixture.wake()
        #expect(fixture.home.counters.clockTurns == 1)
        fixture.now = fixture.now.adding(seconds: 31)
        let due = try #require(fixture.home.nextWake)
        #expect(due <= fixture.now)
        #expect(try Set(fixture.wake().map(\.1).items.map(\.blob)) == [[1], [2]])
        // The first is over in time; the second has a day more, by the clock at which it came.
        for hour in UInt64(1)...14 {
            fixture.now = Fixture.noon.adding(seconds: 3600 * hour + 3)
            _ = try fixture.wake()
        }
        #expect(try fixture.store.count(HomeTables.items) == 1)
        #expect(fixture.home.counters.expired == 1)
    }
}
