import Foundation
import Simulator
import Testing

/// `hulda simulate FILE` and `hulda simulate swarm`, as processes.
@Suite struct SimulateScenarioTests {
    /// A scenario in a folder whose name a shell has to be told not to take apart.
    private struct File {
        let folder = try? Folder()
        let path: String

        init(_ text: String) throws {
            let inner = try #require(folder).path + "/it's a folder"
            try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
            path = inner + "/scenario.toml"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
    }

    /// All servers crash once.
    private static let crashes = """
        servers = 7
        agents = 2
        seconds = 15
        settle = 5

        [[faults]]
        kind = "crash"
        at = 8
        seconds = 10
        count = 7
        """

    private struct Digest: Decodable, Equatable {
        let seed: UInt64
        let effects: UInt64
        let digest: String
    }

    private func digest(_ output: Program.Output) throws -> Digest {
        let line = try #require(output.text.split(separator: "\n").last { $0.contains("\"digest\"") })
        return try JSONDecoder().decode(Digest.self, from: Data(line.utf8))
    }

    /// Runs a line that was printed, by a shell in which `hulda` is the program beside these tests.
    private func runPrinted(_ line: String) throws -> Program.Output {
        try #require(line.hasPrefix("hulda simulate "))
        let words = "hulda() { '\(Program.path)' \"$@\"; }; \(line)"
        return try Program.run(["-c", words], program: "/bin/sh")
    }

    /// What follows `mark` on the line that has it.
    private func after(_ mark: String, in text: String) throws -> String {
        let line = try #require(text.split(separator: "\n").first { $0.contains(mark) })
        return String(line.components(separatedBy: mark).last ?? "").trimmingCharacters(in: .whitespaces)
    }

    @Test("a scenario has one digest in two processes and in this one, and with --trace a line for each effect besides")
    func reproducible() throws {
        let file = try File(SimulateScenarioTests.crashes)
        let arguments = ["simulate", file.path, "--seed", "3", "--json"]
        let first = try Program.run(arguments)
        #expect(first.status == 0, "\(first.errors)")
        for line in first.text.split(separator: "\n") {
            #expect(throws: Never.self, "\(line)") { try JSONSerialization.jsonObject(with: Data(line.utf8)) }
        }
        #expect(try Program.run(arguments).text == first.text)
        var scenario = Scenario()
        (scenario.servers, scenario.agents, scenario.seconds, scenario.settle) = (7, 2, 15, 5)
        scenario.faults = [.init(.crash, at: 8, seconds: 10, count: 7)]
        let report = try scenario.run(seed: 3)
        let digest = try digest(first)
        #expect(digest == Digest(seed: 3, effects: report.effects, digest: report.digest))

        let traced = try Program.run(arguments + ["--trace"])
        #expect(traced.status == 0)
        let effects = traced.text.split(separator: "\n").count { $0.hasPrefix("{\"effect\"") }
        #expect(UInt64(effects) == report.effects)
        #expect(traced.text.hasSuffix(first.text))
        let more = try Program.run(arguments + ["--nodes", "8"])
        #expect(try self.digest(more).digest != digest.digest)
    }

    @Test("a violated invariant ends with 70, and the printed command repeats failure and digest as it stands")
    func failure() throws {
        let file = try File(SimulateScenarioTests.crashes)
        let output = try Program.run([
            "simulate", file.path, "--seed", "2", "--nodes", "7", "--defect", "loses-disk",
        ])
        #expect(output.status == 70)
        let violations = output.text.split(separator: "\n").filter { $0.hasPrefix("VIOLATED: record lost") }
        #expect(!violations.isEmpty)
        let again = try runPrinted(try after("Replay it with a trace: ", in: output.errors))
        #expect(again.status == 70)
        let untraced = output.text.split(separator: "\n")
        #expect(again.text.split(separator: "\n").suffix(untraced.count) == untraced[...])
        #expect(again.text.split(separator: "\n").count > untraced.count + 1000)
        // The defect it was.
        #expect(try Program.run(["simulate", file.path, "--seed", "2"]).status == 0)
    }

    @Test("a swarm of good seeds ends with 0 and says what it could have found; a failing seed has its replay")
    func swarm() throws {
        let good = try Program.run(["simulate", "swarm", "--seed", "1", "--runs", "2", "--json"])
        #expect(good.status == 0, "\(good.text)\(good.errors)")
        struct Row: Decodable {
            let runs: Int
            let failed: Int
            let lookupsChecked: Int
        }
        let row = try JSONDecoder().decode(Row.self, from: Data(good.text.utf8))
        #expect(row.runs == 2 && row.failed == 0 && row.lookupsChecked > 0)

        let bad = try Program.run(["simulate", "swarm", "--seed", "5", "--runs", "2", "--defect", "loses-disk"])
        #expect(bad.status == 70)
        let lines = bad.text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        let begin = try #require(lines.firstIndex { $0.hasPrefix("seed ") })
        let end = try #require(lines.firstIndex { $0.hasPrefix("replay it: ") })
        let again = try runPrinted(try after("replay it: ", in: bad.text))
        #expect(again.status == 70)
        let repeated = again.text.split(separator: "\n").filter { $0.hasPrefix("VIOLATED: ") }.map { $0.dropFirst(10) }
        #expect(repeated == lines[begin + 1..<end].map { $0[...] })
        #expect(again.text.contains("digest of "))
    }

    @Test("what is no scenario is refused with a code of its own")
    func refused() throws {
        #expect(try Program.run(["simulate", "/nowhere/scenario.toml"]).status == 66)
        for text in ["server = 9", "servers = 3"] {
            let file = try File(text)
            #expect(try Program.run(["simulate", file.path]).status == 65, "\(text)")
        }
        #expect(try Program.run(["simulate", "swarm", "--defect", "nonsense"]).status == 64)
    }
}
