import Envelope
import Foundation
import Link
import Primitives
import Records
import Testing
import Transport
import Wire

/// What a user can do to the relay and gateway of others. The sizes are those of a quick run; with `HULDA_FLOOD=full`
/// they are those of specs/results/relay.md.
@Suite(.serialized) struct RelayFloodTests {
    private static let isFull = ProcessInfo.processInfo.environment["HULDA_FLOOD"] == "full"

    /// Resident KiB of a process, and its processor time in hundredths of a second.
    private func usage(_ pid: pid_t) throws -> (resident: Int, time: Int) {
        let memory = try String(contentsOfFile: "/proc/\(pid)/statm", encoding: .utf8).split(separator: " ")
        let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        let fields = text[(try #require(text.lastIndex(of: ")")))...].split(separator: " ")
        return (try #require(Int(memory[1])) * 4, try #require(Int(fields[12])) + #require(Int(fields[13])))
    }

    private func hop(_ server: ServerDescriptor, delay: UInt32 = 0) throws -> Hop {
        let key = try #require(server.mixKey(epoch: Timestamp.now().epoch))
        return Hop(node: server.nodeID, key: key, delayMilliseconds: delay)
    }

    private func secret() -> [UInt8] {
        var entropy = Entropy.system()
        return entropy.array(32)
    }

    /// Links of one envelope burst each, one after another, since one link is read at its pace.
    private func burst(_ overlay: Overlay, _ count: Int, _ make: () throws -> [UInt8]) async throws {
        let size = 60
        for start in stride(from: 0, to: count, by: size) {
            let peer = try await Stranger(overlay)
            try await peer.flood(.envelope, (start..<min(start + size, count)).map { _ in try make() })
            // Behind the envelopes: when it is answered, they have been read.
            peer.send(.claim, secret())
            try await peer.wait { try await peer.count(of: .claimed) == 1 }
            peer.close()
        }
    }

    @Test("envelopes for next hops that are on no map are refused before they are held, and leave nothing behind")
    func unknownNextHops() async throws {
        let overlay = try Overlay(clusters: 5, network: 171)
        let pid = try overlay.pid(1)
        var entropy = Entropy.system()
        let peer = try await Stranger(overlay)
        let first = try hop(try await peer.server(1))
        func make() throws -> [UInt8] {
            let nowhere = Hop(node: entropy.bytes(), key: X25519PrivateKey(&entropy).publicKey)
            return try Wrap.forward(path: [first, nowhere], content: [], entropy: &entropy)
        }
        // Tables and pools grow to their size before.
        try await burst(overlay, 600, make)
        let count = RelayFloodTests.isFull ? 20_000 : 1200
        // A node gives back the pages of its program 10 s after its start.
        if RelayFloodTests.isFull { try await Task.sleep(for: .seconds(15)) }
        let refused = try overlay.status(1).counters["relay.next_hop_unknown", default: 0]
        let before = try usage(pid)
        try await burst(overlay, count, make)
        let after = try usage(pid)
        let status = try overlay.status(1)
        #expect(status.counters["relay.next_hop_unknown", default: 0] - refused == count)
        #expect(status.counters["relay.accepted", default: 0] < count / 10)
        #expect(after.resident - before.resident < 5 * 1024, "\(before.resident) to \(after.resident) KiB")
        guard RelayFloodTests.isFull else { return }
        try await Task.sleep(for: .seconds(60))
        let (rested, start) = (try usage(pid), ContinuousClock.now)
        try await Task.sleep(for: .seconds(20))
        let idle = Double(try usage(pid).time - rested.time) / Double((ContinuousClock.now - start).components.seconds)
        print(
            "next hops on no map: \(count) envelopes, resident \(before.resident) KiB before, \(after.resident) after,",
            "\(rested.resident) a minute later; then \(idle) % of a core")
    }

    @Test("a link has four mailboxes, a fifth claim ends it, and others notice nothing")
    func mailboxes() async throws {
        let overlay = try Overlay(clusters: 5, network: 176)
        let greedy = try await Stranger(overlay)
        let links = RelayFloodTests.isFull ? 5000 : 30
        for _ in 0..<4 { greedy.send(.claim, secret()) }
        // Before the fifth: the end of a link may overtake answers that the peer has not read.
        try await greedy.wait { try await greedy.count(of: .claimed) == 4 }
        greedy.send(.claim, secret())
        try await greedy.wait { try await greedy.isClosed }
        #expect(try await greedy.count(of: .claimed) == 4)
        let status = try overlay.status(1)
        #expect(status.gateway.mailboxes == 4)
        #expect(status.counters["mailbox.claims.refused"] == 1)

        // Link after link, each with as many as it may have.
        for _ in 0..<links {
            let peer = try await Stranger(overlay)
            for _ in 0..<4 { peer.send(.claim, secret()) }
            try await peer.wait { try await peer.count(of: .claimed) == 4 }
            peer.close()
        }
        #expect(try overlay.status(1).gateway.mailboxes == 4 + 4 * links)
        let alice = try User(overlay, address: "127.0.171.1")
        try alice.run("register", "--home", "cluster-3")
        let other = try await Stranger(overlay)
        other.send(.claim, secret())
        try await other.wait { try await other.count(of: .claimed) == 1 }
        print("mailboxes: 4 of one link; \(try overlay.status(1).gateway.mailboxes) after \(links) such links")
    }

    @Test("honest loops get through a relay that one agent floods with envelopes of the longest delay")
    func longestDelay() async throws {
        let overlay = try Overlay(clusters: 5, network: 181)
        var entropy = Entropy.system()
        let (attacker, honest) = (try await Stranger(overlay), try await Stranger(overlay, from: "127.0.181.1"))
        let relay = try await honest.server(1)
        let other = try #require(try await honest.servers().first { $0.nodeID != relay.nodeID })
        let (first, second) = (try hop(relay, delay: .max), try hop(other))
        let pool = try (0..<1000).map { _ in
            try Wrap.forward(path: [first, second], command: .drop, content: [], entropy: &entropy)
        }
        let (full, count) = (RelayFloodTests.isFull, RelayFloodTests.isFull ? 66_000 : 3000)
        let flood = Task {
            for start in stride(from: 0, to: count, by: pool.count) where !Task.isCancelled {
                // Fresh ones each time: a repetition would be refused as a replay.
                var entropy = Entropy.system()
                let more =
                    try start == 0
                    ? pool
                    : pool.map { _ in
                        try Wrap.forward(path: [first, second], command: .drop, content: [], entropy: &entropy)
                    }
                try await attacker.flood(.envelope, more)
            }
        }
        try await honest.wait { try overlay.status(1).mix.received > 60 }

        let secret: Bytes32 = entropy.bytes()
        honest.send(.claim, secret.bytes)
        let loops = full ? 200 : 50
        let (out, back, end) = (try hop(relay, delay: 50), try hop(other, delay: 50), try hop(relay))
        for _ in 0..<loops {
            let made = try ReplyBlock.make(
                path: [out, back, end], handle: Mailbox.handle(of: secret), id: entropy.bytes(), entropy: &entropy)
            honest.send(.envelope, try made.block.reply(content: []))
            try await Task.sleep(for: .milliseconds(100))
        }
        try await honest.wait { try await honest.count(of: .reply) == loops }
        let status = try overlay.status(1)
        #expect(status.counters["relay.queue.overflow"] == 0)
        print(
            "longest delay: \(try await honest.count(of: .reply)) of \(loops) loops came back; the relay took",
            "\(status.mix.received) envelopes and holds \(status.mix.waiting)")
        flood.cancel()
        attacker.close()
        _ = try? await flood.value
    }
}
