import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("Servers' clocks, as an agent hears of them")
struct ClockVoicesTests {
    @Test("the middle one counts, and no single server makes a right clock look wrong")
    func middle() {
        let now = MapNetwork.start
        var clocks = ClockVoices()
        #expect(clocks.deviation == nil)
        clocks.note(now.adding(seconds: 600), now)
        #expect(clocks.deviation == nil)
        clocks.note(Timestamp(milliseconds: UInt64.max), now)
        clocks.note(now, now)
        #expect(clocks.deviation == nil)
        for _ in 0..<20 { clocks.note(now, now.adding(seconds: 86_400)) }
        #expect(clocks.deviation == 86_400)
        for _ in 0..<8 { clocks.note(now.adding(seconds: 7200), now) }
        #expect(clocks.deviation == -7200)
    }

    @Test("an agent whose clock is a day ahead hears it from every server, and tells nobody its own")
    func greeting() throws {
        var network = MapNetwork(seed: 172)
        let cluster = TestCluster(0)
        var configuration = MapConfiguration()
        configuration.isAgent = true
        for _ in 0..<2 { try network.addNode(roots: [cluster.id]) }
        let agent = try network.addNode(roots: [cluster.id], configuration: configuration)
        network.ahead[agent] = 86_400
        for node in 0..<2 { try network.connect(agent, node) }
        try network.run(milliseconds: 500)
        #expect(network.cores[agent].clocks.deviation == 86_400)
        #expect(network.cores[0].clocks.deviation == nil)
        let hello = ExchangeMessage.hello(lowest: 1, highest: 2, salt: Bytes16(), clock: 7)
        #expect(try ExchangeMessage(decoding: hello.encode()) == hello)
        #expect(throws: WireError.self) { try ExchangeMessage(decoding: Array(hello.encode().dropLast())) }
    }
}
