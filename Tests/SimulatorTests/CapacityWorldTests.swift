import Federation
import Testing

@testable import Simulator

@Suite struct CapacityWorldTests {
    @Test("relays are measured, statements spread, and who states more of himself than he carries weighs less")
    func boasting() throws {
        let scenario = try ScenarioFileTests.scenario("measuring")
        let world = try World(scenario, seed: 1)
        let report = try world.finish()
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(WorldTests.number(report, "relays measured") > 0)
        let boaster = try #require(world.servers.first { $0.liar.conduct == .boasting })
        for server in world.servers where server !== boaster {
            let weights = server.map.view(at: server.clock(world.now)).weights
            let boasted = try #require(weights[boaster.nodeID], "server \(server.index)")
            for other in world.servers where other !== boaster {
                let weight = try #require(weights[other.nodeID], "server \(server.index)")
                #expect(boasted < weight, "server \(server.index): \(boasted), \(weight)")
            }
        }
    }
}
