import Testing
import Wire

/// A core of which nothing but its times is left.
private struct Sleeper: TimedCore {
    var clock = ClockWatch()
    var nextWake: Timestamp?
}

@Suite("A core is to be woken")
struct TimedCoreTests {
    private static let noon = Timestamp(seconds: 1_800_014_400)

    @Test("when its moment has come, and not before; without one never")
    func moment() {
        var core = Sleeper()
        #expect(!core.isDue(TimedCoreTests.noon))
        core.nextWake = TimedCoreTests.noon
        #expect(!core.isDue(TimedCoreTests.noon.earlier(by: 1)))
        #expect(core.isDue(TimedCoreTests.noon))
    }

    @Test("when it was handed a later time by more than a minute, although its moment is a day ahead")
    func behind() {
        var core = Sleeper()
        let tomorrow = TimedCoreTests.noon.adding(seconds: 86_400)
        _ = core.clock.turned(to: tomorrow)
        core.nextWake = tomorrow.adding(seconds: 1)
        #expect(!core.isDue(tomorrow.earlier(by: ClockWatch.step)))
        #expect(core.isDue(tomorrow.earlier(by: ClockWatch.step + 1)))
        // Once it has planned by the right clock nothing is due until then.
        #expect(core.clock.turned(to: TimedCoreTests.noon) == 86_400_000)
        #expect(!core.isDue(TimedCoreTests.noon))
    }
}
