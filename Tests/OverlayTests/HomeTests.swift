import Foundation
import Testing

@Suite(.serialized) struct HomeCommandTests {
    private struct Home: Decodable, Equatable {
        let home: String
        let state: String
    }

    private func homes(_ user: User) throws -> [Home] {
        try user.run("home", "list", "--json").split(separator: "\n").map {
            try JSONDecoder().decode(Home.self, from: Data($0.utf8))
        }
    }

    @Test("a second home stands in for the first, and a user moves from a dead home to another one")
    func homes() throws {
        let overlay = try Overlay(clusters: 7, network: 141)
        let alice = try User(overlay, address: "127.0.15.1")
        let bob = try User(overlay, address: "127.0.16.1")
        try bob.run("home", "add", "cluster-2", expect: 64)
        try alice.run("register", "--home", "cluster-1")
        try bob.run("register", "--home", "cluster-2")
        try bob.run("register", "--home", "cluster-3", expect: 64)
        #expect(try bob.run("home", "add", "cluster-3").contains("as your second home"))
        #expect(try bob.run("home", "add", "cluster-3").contains("is your home already"))
        #expect(
            try homes(bob) == [.init(home: "cluster-2", state: "active"), .init(home: "cluster-3", state: "active")])
        let (first, second) = (try overlay.status(2).home, try overlay.status(3).home)
        #expect(first.accounts.count == 1 && second.accounts.count == 1)
        #expect(first.accounts != second.accounts)

        #expect(try alice.run("id", "name", "Ada").contains("ada@cluster-1"))
        #expect(try alice.run("id", "show", "--no-qr").contains("ada@cluster-1"))
        #expect(try bob.run("resolve", "ada@cluster-1", "--json").contains(alice.id))
        try bob.run("send", "ada@cluster-1", "by name", "--timeout", "150")
        #expect(try alice.inbox("--wait", "1", "--timeout", "150").map(\.text) == ["by name"])
        try bob.run("resolve", "eve@cluster-1", expect: 68)
        try bob.run("resolve", "ada@nowhere", expect: 68)
        try bob.run("resolve", "a_da@cluster-1", expect: 64)
        try bob.run("id", "name", "bob", "--home", "cluster-1", expect: 68)

        try bob.run("id", "name", "bob")
        #expect(try alice.run("resolve", "bob@cluster-2", "--json").contains(bob.id))
        try overlay.kill(2)
        try alice.run("send", bob.id, "to the second home", "--timeout", "150")
        #expect(try bob.inbox("--wait", "1", "--timeout", "150").map(\.text) == ["to the second home"])
        // The new home gives the name that the dead one gave.
        #expect(
            try bob.run("home", "move", "cluster-4", "--timeout", "150", "--json")
                .contains(#""names":[{"from":"bob@cluster-2","to":"bob@cluster-4"}]"#))
        #expect(
            try homes(bob) == [
                .init(home: "cluster-4", state: "active"), .init(home: "cluster-2", state: "leaving"),
                .init(home: "cluster-3", state: "active"),
            ])
        #expect(try overlay.status(4).home.accounts.count == 1)
        // A fresh record names the new home first.
        try alice.run("send", bob.id, "to the new home", "--timeout", "150")
        #expect(try bob.inbox("--wait", "1", "--timeout", "150").map(\.text) == ["to the new home"])
        #expect(try bob.run("inbox", "--stored", "--json").split(separator: "\n").count == 2)
        try bob.run("home", "remove", "cluster-5", expect: 68)
        try bob.run("home", "remove", "cluster-3", "--timeout", "150")
        #expect(try homes(bob).map(\.state) == ["active", "leaving", "leaving"])
        try bob.run("home", "remove", "cluster-4", expect: 64)
        // The keys of a lost device: the living homes take the new one, the dead one is asked again later.
        try bob.run("id", "rotate", "--timeout", "6", expect: 75)
        try overlay.restart()
        try alice.run("send", bob.id, "to the new keys", "--timeout", "150")
        #expect(try bob.inbox("--wait", "1", "--timeout", "150").map(\.text) == ["to the new keys"])
        let counters = try overlay.status(4).counters
        #expect(counters["home.taken_over"] == 1)
    }
}
