import Federation
import Primitives
import Testing
import Wire

@testable import Simulator

@Suite("A world of maps")
struct MapWorldTests {
    @Test("counts a statement as known everywhere when every core has it, and not when each has one")
    func statements() throws {
        let population = MapPopulation(seed: 380, servers: 40)
        var rows: [ResultRow] = []
        let whole = try MapExperiments.build(population, MapConfiguration(), &rows)
        var world = try MapWorld(cores: 2, of: whole, seed: 380)
        let statements = (0..<2).map { population.statement($0, epoch: world.now.epoch) }
        for core in 0..<2 { try world.state(statements[core], at: core) }
        #expect(world.cores.map(\.statementTotal) == [1, 1])
        #expect(world.statementsEverywhere == 0)
        try world.state(statements[0], at: 1)
        #expect(world.statementsEverywhere == 1)
    }
}
