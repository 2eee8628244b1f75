import Foundation
import Node
import Testing

@Suite(.serialized) struct MessageTests {
    @Test("two users of different clusters resolve each other and exchange messages, through kills, exactly once")
    func mainJob() throws {
        let overlay = try Overlay(clusters: 7, network: 41)
        let alice = try User(overlay, address: "127.0.11.1")
        let bob = try User(overlay, address: "127.0.12.1")
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        #expect(try alice.run("resolve", bob.id, "--json").contains("\"pathLength\":5"))
        let all = try overlay.resolve(bob.id, by: 3)
        #expect(all.result == .found && all.hops == 1 && all.answers["record"] == 7)
        #expect(all.record?.homes.map(\.clusterName) == ["cluster-2"])
        #expect(all.holders.allSatisfy { $0.milliseconds != nil && $0.sequence == all.record?.sequence })

        try alice.run("send", bob.id, "first")
        #expect(try bob.inbox("--wait", "1", "--timeout", "60") == [.init(from: alice.id, text: "first")])
        let long = String(repeating: "A long letter. ", count: 4000)
        try bob.run("send", alice.id, "-", "--timeout", "90", input: long)
        #expect(try alice.inbox("--wait", "1", "--timeout", "90") == [.init(from: bob.id, text: long)])

        try alice.run("send", bob.id, "second")
        try overlay.kill(2)
        try overlay.kill(5)
        try alice.run("send", bob.id, "third", "--timeout", "3", expect: 75)
        let rest = try overlay.resolve(bob.id, by: 3)
        let silent = rest.holders.filter { $0.answer == .silent }.compactMap(\.place.clusterName)
        #expect(rest.result == .found && Set(silent) == ["cluster-2", "cluster-5"])
        try overlay.restart()
        try alice.run("inbox", "--flush", "--timeout", "90")
        let later = try bob.inbox("--wait", "2", "--timeout", "90")
        #expect(Set(later.map(\.text)) == ["second", "third"])
        #expect(try bob.inbox("--stored").map(\.text).sorted() == ["first", "second", "third"])
        #expect(try bob.run("inbox", "--delete", "read", "--json").contains(#""deleted":3"#))
        #expect(try bob.inbox("--stored").isEmpty)
        try bob.run("inbox", "--delete", "hulda1", expect: 64)

        let home = try overlay.status(2)
        #expect(home.home.accounts.count == 1)
        #expect(!home.gateway.agentAddresses.contains("127.0.12.1"))
        #expect(!(try overlay.status(1).gateway.agentAddresses.contains("127.0.11.1")))
        #expect(try alice.run("inbox", "--sent", "--json").contains("\"state\":\"delivered\""))
    }

    @Test("an ID that nobody publishes is reported, and the message kept")
    func unknownID() throws {
        let overlay = try Overlay(clusters: 6, network: 51)
        let alice = try User(overlay, address: "127.0.13.1")
        let nobody = try User(overlay, address: "127.0.14.1")
        let lookup = try Program.run(
            ["resolve", nobody.id, "--counters", "--json"], environment: alice.environment)
        #expect(lookup.status == 68)
        let lines = lookup.errors.split(separator: "\n").compactMap {
            try? JSONDecoder().decode([String: [String: UInt64]].self, from: Data($0.utf8))
        }
        let sums = try #require(lines.first?["counters"], "\(lookup.errors)")
        #expect(sums["agent.envelopes", default: 0] > 0 && sums["agent.replies", default: 0] > 0, "\(sums)")
        #expect(sums["agent.forged_items"] == 0 && sums["map.learned", default: 0] > 0, "\(sums)")
        let words = ["node", "resolve", nobody.id, "--config", overlay.configuration(1)]
        let output = try Program.run(words)
        #expect(output.status == 68 && output.text.contains("6: 6 signed that they have none"), "\(output.text)")
        #expect(output.errors.contains("nobody publishes this ID today"))
        let mistyped = ["node", "resolve", nobody.id + "q", "--config", overlay.configuration(1)]
        #expect(try Program.run(mistyped).status == 64)
        try alice.run("send", nobody.id, "hello?", expect: 68)
        #expect(try alice.run("inbox", "--sent", "--json").contains("\"state\":\"queued\""))
        try overlay.kill(1)
        #expect(try Program.run(words).status == 69)
    }
}
