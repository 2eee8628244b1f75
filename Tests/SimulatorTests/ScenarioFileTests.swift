import Foundation
import TOMLKit
import Testing

@testable import Simulator

/// The scenarios of specs/scenarios: each can be read, can be run, and keeps the invariants.
@Suite struct ScenarioFileTests {
    /// Run by tests of their own.
    private static let elsewhere: Set<String> = ["measuring", "random"]
    /// Seconds after which the epoch of midnight.toml has begun; others run for half a minute.
    private static let pastMidnight: UInt64 = 200
    private static let seconds: UInt64 = 30

    private static var folder: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("specs/scenarios")
    }

    static func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".toml") }
            .map { String($0.dropLast(5)) }.sorted()
    }

    /// As `hulda simulate` reads it.
    static func scenario(_ name: String) throws -> Scenario {
        let text = try String(contentsOf: folder.appendingPathComponent(name + ".toml"), encoding: .utf8)
        return try TOMLDecoder(strictDecoding: true).decode(Scenario.self, from: text)
    }

    /// The same in a shorter time, with all that goes wrong.
    private static func short(_ name: String) throws -> Scenario {
        var scenario = try scenario(name)
        scenario.settle = min(scenario.settle, 30)
        scenario.messages = min(scenario.messages, 3)
        scenario.lookups = min(scenario.lookups, 3)
        guard name != "midnight" else {
            scenario.seconds = pastMidnight
            scenario.faults.removeAll { $0.at >= pastMidnight }
            return scenario
        }
        for index in scenario.faults.indices {
            scenario.faults[index].at = scenario.faults[index].at * seconds / scenario.seconds
            scenario.faults[index].seconds = max(1, scenario.faults[index].seconds * seconds / scenario.seconds)
        }
        scenario.seconds = seconds
        return scenario
    }

    @Test("no scenario is left out, and each is read as it stands")
    func found() throws {
        let names = try ScenarioFileTests.names()
        #expect(names.count >= 10 && ScenarioFileTests.elsewhere.isSubset(of: names))
        for name in names {
            let scenario = try ScenarioFileTests.scenario(name)
            #expect(scenario.problem == nil && !scenario.description.isEmpty, "\(name)")
        }
    }

    @Test("each keeps the invariants", arguments: try names().filter { !elsewhere.contains($0) })
    func runs(_ name: String) throws {
        let scenario = try ScenarioFileTests.short(name)
        let report = try scenario.run(seed: 1)
        #expect(report.violations.isEmpty, "\(report.violations)")
        #expect(report.effects > 1000)
        #expect(WorldTests.number(report, "users registered") == Double(scenario.agents))
        // With half of the servers lying too few are left to hold a lookup against.
        #expect(!scenario.liars.isEmpty || report.exercise.lookups > 0)
    }

    @Test("a field that does not exist is no scenario")
    func strict() {
        #expect(throws: (any Error).self) {
            try TOMLDecoder(strictDecoding: true).decode(Scenario.self, from: "description = \"x\"\nserver = 9")
        }
    }
}
