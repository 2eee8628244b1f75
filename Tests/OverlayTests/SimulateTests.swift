import Testing

@Suite struct SimulateTests {
    @Test("experiments are listed; an unknown name, no nodes and too few nodes are refused")
    func names() throws {
        let list = try Program.run(["simulate"])
        #expect(list.status == 0)
        #expect(list.text.contains("directory-liars"))
        for line in list.text.split(separator: "\n") {
            #expect(line.contains("  "), "the name runs into the description: \(line)")
        }
        let unknown = try Program.run(["simulate", "directory-nonsense"])
        #expect(unknown.status == 64)
        #expect(unknown.errors.contains("hulda simulate"))
        #expect(try Program.run(["simulate", "directory-liars", "--nodes", "0"]).status == 64)
        let few = try Program.run(["simulate", "directory-liars", "--nodes", "1", "--trials", "1"])
        #expect(few.status == 64)
        #expect(few.errors.contains("at least"))
    }

    @Test("an option that would change nothing is refused, and a share of nothing is no figure")
    func idleOptions() throws {
        let experiment = ["simulate", "directory-liars", "--nodes", "50", "--trials", "2"]
        for option in [["--trace"], ["--defect", "loses-disk"], ["--seconds", "3"], ["--runs", "3"]] {
            let refused = try Program.run(experiment + option)
            #expect(refused.status == 64)
            #expect(refused.errors.contains("\(option[0]) is for"), "\(refused.errors)")
        }
        #expect(try Program.run(["simulate", "swarm", "--runs", "1", "--nodes", "9"]).status == 64)
        #expect(try Program.run(["simulate", "./scenario.toml", "--trials", "9"]).status == 64)
        let text = try Program.run(experiment).text
        #expect(text.contains("20 % silent: current record found: not measured"), "\(text)")
        let row = try #require(try Program.run(experiment + ["--json"]).text.split(separator: "\n").first)
        #expect(row.contains("\"of\":0,") && !row.contains("\"value\""), "\(row)")
    }

    @Test("one seed gives the same figures again, another seed others")
    func reproducible() throws {
        func run(_ seed: String) throws -> String {
            let output = try Program.run([
                "simulate", "directory-latency", "--nodes", "100", "--trials", "30", "--seed", seed, "--json",
            ])
            #expect(output.status == 0, "\(output.errors)")
            return output.text
        }
        let first = try run("7")
        #expect(first.split(separator: "\n").count > 5)
        #expect(try run("7") == first)
        #expect(try run("8") != first)
    }
}
