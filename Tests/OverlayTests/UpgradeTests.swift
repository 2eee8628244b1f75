import Foundation
import Testing

@Suite(.serialized) struct UpgradeTests {
    /// Writes the pin into nodes' configurations, and starts them again.
    private func restart(_ overlay: Overlay, _ numbers: ClosedRange<Int>, pinned version: Int) throws {
        let pids = try numbers.map { try overlay.pid($0) }
        for number in numbers {
            let path = overlay.configuration(number)
            var lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
            lines.removeAll { $0.hasPrefix("wire_version") }
            lines.insert("wire_version = \(version)", at: 0)
            try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
            try overlay.kill(number)
        }
        let deadline = Date().addingTimeInterval(20)
        while pids.contains(where: { kill($0, 0) == 0 }), Date() < deadline { usleep(50_000) }
        try overlay.restart()
    }

    /// Waits, a minute at most, until a node's statement is as wished.
    private func wait(_ overlay: Overlay, _ number: Int, _ isFulfilled: (Statement) -> Bool) throws {
        let deadline = Date().addingTimeInterval(60)
        var last: Statement?
        while Date() < deadline {
            last = try? overlay.status(number)
            if let last, isFulfilled(last) { return }
            usleep(300_000)
        }
        Issue.record("node \(number): the last statement was \(String(describing: last?.map))")
    }

    @Test("a federation is upgraded server by server, and messages are exchanged at every step")
    func rolling() throws {
        let count = 5
        let overlay = try Overlay(clusters: count, network: 201)
        try restart(overlay, 1...count, pinned: 1)
        for number in 1...count {
            try wait(overlay, number) { $0.map.servers == count && $0.map.wireVersion == 1 && $0.map.links["2"] == nil }
        }
        let alice = try User(overlay, address: "127.0.41.1")
        let bob = try User(overlay, address: "127.0.42.1")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        try alice.run("send", bob.id, "all old")
        #expect(try bob.inbox("--wait", "1", "--timeout", "60").map(\.text) == ["all old"])

        for number in 1...2 { try restart(overlay, number...number, pinned: 2) }
        // Old and new speak with each other, each pair the highest version of both.
        try wait(overlay, 1) {
            $0.map.servers == count && $0.map.links["1", default: 0] > 0 && $0.map.links["2"] != nil
        }
        try wait(overlay, 5) { $0.map.servers == count && $0.map.links["2"] == nil }
        try alice.run("send", bob.id, "half new", "--timeout", "60")
        #expect(try bob.inbox("--wait", "1", "--timeout", "60").map(\.text) == ["half new"])

        for number in 3...count { try restart(overlay, number...number, pinned: 2) }
        for number in 1...count {
            try wait(overlay, number) {
                $0.map.servers == count && $0.map.links["2", default: 0] > 0 && $0.map.links["1"] == nil
            }
            #expect(try overlay.status(number).counters["map.incompatible"] == 0)
        }
        try bob.run("send", alice.id, "all new", "--timeout", "60")
        #expect(try alice.inbox("--wait", "1", "--timeout", "60").map(\.text) == ["all new"])
    }
}
