import Testing

@testable import Simulator

/// The experiments on retrieval, small: what they find out, and that they can find the opposite.
struct DirectoryRetrievalTests {
    static let seed: UInt64 = 11

    static func run(_ name: String, nodes: Int, trials: Int) throws -> [String: ResultRow.Value] {
        let experiment = try #require(DirectoryExperiments.all.first { $0.name == name })
        print("hulda simulate \(name) --nodes \(nodes) --seed \(seed)")
        let rows = try experiment.run(nodes, seed, trials) { _ in }
        return Dictionary(rows.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    static func share(_ rows: [String: ResultRow.Value], _ name: String) throws -> Proportion {
        guard case .share(let share) = try #require(rows[name], "no row \(name) in \(rows.keys.sorted())") else {
            throw Missing()
        }
        return share
    }

    static func number(_ rows: [String: ResultRow.Value], _ name: String) throws -> Double {
        guard case .number(let number, _) = try #require(rows[name], "no row \(name) in \(rows.keys.sorted())") else {
            throw Missing()
        }
        return number
    }

    struct Missing: Error {}

    @Test("a proportion's interval holds it, and is as Wilson's formula has it")
    func wilson() {
        let all = Proportion(successes: 100, trials: 100).interval
        #expect(all.high > 0.9999 && all.low > 0.963 && all.low < 0.9631)
        let some = Proportion(successes: 30, trials: 100).interval
        #expect(some.low > 0.218 && some.low < 0.22 && some.high > 0.395 && some.high < 0.397)
        #expect(Proportion().interval == (0, 1))
    }

    @Test("events leave the queue by time, and those of one moment in the order of their coming")
    func queue() {
        var queue = VirtualQueue<Int>()
        for number in 0..<200 { queue.push(number, due: UInt64(number * 7919 % 10)) }
        var out: [(due: UInt64, element: Int)] = []
        while let next = queue.pop() { out.append(next) }
        #expect(out.count == 200)
        #expect(zip(out, out.dropFirst()).allSatisfy { ($0.due, $0.element) < ($1.due, $1.element) })
    }

    @Test("who is faulty is drawn eight times in a short run, and after each 250 lookups in a long one")
    func draws() {
        func draws(_ trials: Int) -> [Int] { (0..<trials).filter { DirectoryExperiments.isDraw($0, of: trials) } }
        #expect(draws(80) == [0, 10, 20, 30, 40, 50, 60, 70])
        #expect(draws(3) == [0, 1, 2])
        #expect(draws(2000).count == 8)
        #expect(draws(10_000) == Array(stride(from: 0, to: 10_000, by: 250)))
    }

    @Test("half of the servers dead: lookups find the record")
    func death() throws {
        let rows = try Self.run("directory-death", nodes: 200, trials: 300)
        #expect(try Self.share(rows, "half dead: current record found").value >= 0.99)
        // Ten of twenty holders answer, and eight answers are wanted.
        #expect(try Self.number(rows, "half dead: holders asked, mean") > 12)
    }

    @Test("three servers in ten lie: lookups find the record")
    func liars() throws {
        let rows = try Self.run("directory-liars", nodes: 200, trials: 500)
        #expect(try Self.share(rows, "30 % liars of all kinds: current record found").value >= 0.99)
        #expect(try Self.share(rows, "20 % liars of all kinds: current record found").trials == 500)
    }

    @Test("all servers lie: nothing is found, so the experiment can fail")
    func allLie() throws {
        let world = try DirectoryWorld(nodes: 100, seed: Self.seed)
        try world.addUsers(20)
        for conduct in [DirectoryConduct.silent, .wrong, .negative] {
            let tally = try DirectoryExperiments.lookups(
                world, 20, liars: 1, conduct: [conduct], dead: 0, { _ in })
            #expect(tally.found.successes == 0, "\(conduct)")
            #expect(tally.failed.successes == 20, "\(conduct)")
        }
        let stale = try DirectoryExperiments.lookups(world, 20, liars: 1, conduct: [.stale], dead: 0, { _ in })
        #expect(stale.stale.successes == 20)
        let healthy = try DirectoryExperiments.lookups(world, 20, liars: 0, conduct: [.silent], dead: 0, { _ in })
        #expect(healthy.found.successes == 20)
    }

    @Test("without the rule replaced records are believed, with it hardly any")
    func stale() throws {
        let rows = try Self.run("directory-stale", nodes: 200, trials: 300)
        #expect(try Self.share(rows, "changed within hours: replaced record believed").value < 0.02)
        #expect(try Self.share(rows, "changed within hours, without the rule: replaced record believed").value > 0.1)
        // Whoever hurries is not believed for that.
        func hurried(_ rule: String) throws -> Proportion {
            try Self.share(rows, "changed within hours, direct, \(rule), liars answer first: replaced record believed")
        }
        #expect(try hurried("15 of 20").value < 0.01)
        #expect(try hurried("by the times of answers").value < 0.01)
    }

    @Test("a healthy network answers in one hop, a direct lookup soonest by the times that answers took before")
    func latency() throws {
        let rows = try Self.run("directory-latency", nodes: 200, trials: 400)
        #expect(try Self.share(rows, "private, eight answers: in one hop").value >= 0.98)
        let timed = try Self.number(rows, "direct, by the times of answers: median")
        #expect(timed <= 1.3)
        #expect(try timed < Self.number(rows, "direct, 15 of 20: median"))
        #expect(try Self.number(rows, "direct, by the times of answers: holders asked, mean") > 19)
        #expect(try Self.number(rows, "private lookup with 8 holders: requests and answers") <= 10)
    }

    @Test("one seed gives the same figures twice, another seed others")
    func deterministic() throws {
        func rows(_ seed: UInt64) throws -> [ResultRow] {
            try DirectoryExperiments.liarsAndDeath(100, seed, 60) { _ in }
        }
        #expect(try rows(1) == rows(1))
        #expect(try rows(1) != rows(2))
    }

    @Test("a network too small is refused")
    func tooSmall() {
        #expect(throws: DirectoryExperimentError.tooFewNodes(needed: 40)) {
            _ = try DirectoryExperiments.death(10, 1, 10) { _ in }
        }
    }
}
