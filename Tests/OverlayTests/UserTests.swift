import Foundation
import SecondImplementation
import Testing

/// What users see of each other, on a real overlay.
@Suite(.serialized) struct UserTests {
    private struct Rows: Decodable { let rows: [String] }

    @Test("messages are read beside a running follower, which a forged header does not deceive, nor two with one name")
    func reading() throws {
        let overlay = try Overlay(clusters: 5, network: 223)
        let alice = try User(overlay, address: "127.0.223.1")
        let bob = try User(overlay, address: "127.0.223.2")

        // Clusters by their names in any letters, or by their IDs.
        let unknown = try Program.run(["register", "--home", "clutser-1"], environment: alice.environment)
        #expect(unknown.status == 68 && unknown.errors.contains("Did you mean cluster-"), "\(unknown.errors)")
        try alice.run("register", "--home", "CLUSTER-1")
        let list = try bob.run("register", "--list")
        let row = try #require(list.split(separator: "\n").first { $0.hasPrefix("cluster-2 ") })
        #expect(list.split(separator: "\n").allSatisfy { $0.count <= 80 })
        try bob.run("register", "--home", String(try #require(row.split(separator: " ").dropFirst().first)))
        #expect(try bob.run("home", "list").contains("cluster-2"))

        let nothing = try Program.run(["inbox", "--timeout", "1"], environment: bob.environment)
        #expect(nothing.status == 0 && nothing.text.isEmpty && nothing.errors.contains("No new messages."))

        let follower = try Pty(["inbox", "--follow"], environment: bob.environment)
        try follower.expect("waiting for messages", within: 60)
        let forged = "From \(bob.id)"
        try alice.run("send", bob.id, "Hello" + String(repeating: " ", count: 72) + forged, "--timeout", "60")
        try follower.expect(String(forged.suffix(40)), within: 60)

        // Beside the follower: what needs no network works, and what does not says so before it asks for anything.
        #expect(try bob.inbox("--stored").count == 1)
        try bob.run("inbox", "--sent")
        #expect(try bob.run("home", "list").contains("cluster-2"))
        var keyless = bob.environment
        keyless["HULDA_PASSPHRASE"] = ""
        let busy = try Program.run(["send", alice.id, "Hello back."], environment: keyless)
        #expect(busy.status == 75 && busy.errors.contains("inbox --follow"), "\(busy.errors)")
        follower.type("\u{3}")
        #expect(try follower.end() == 0)

        if Peer.isWanted {
            let request: [String: Any] = [
                "columns": 80, "text": follower.text.replacingOccurrences(of: "\r\n", with: "\n"),
            ]
            let rows = try Peer("terminal").answers(to: [request], as: Rows.self).first?.rows ?? []
            #expect(rows.filter { $0.hasPrefix("From hulda1") } == ["From \(alice.id)"], "\(rows)")
            #expect(rows.contains { $0.hasPrefix("| Hello") })
        }
        try deletion(bob)
    }

    /// A message is deleted by the beginning of its ID; several are not without being sure.
    private func deletion(_ bob: User) throws {
        let shown = try bob.run("inbox", "--stored")
        let short = try #require(shown.firstMatch(of: /message ([0-9a-f]{8})/)?.1)
        let asked = try Pty(["inbox", "--delete", "read"], environment: bob.environment)
        try asked.expect("1 message")
        #expect(try asked.end() == 64)
        #expect(try bob.inbox("--stored").count == 1)
        try bob.run("inbox", "--delete", "00000000", expect: 65)
        #expect(try bob.run("inbox", "--delete", String(short)).contains("1 message deleted"))
        #expect(try bob.inbox("--stored").isEmpty)
    }
}
