import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("A call of which nobody says what became")
struct OverdueCallTests {
    private func started() throws -> LoneServer {
        var server = try LoneServer(seed: 381)
        let endpoints = (0..<8).map { LoneServer.stranger($0) }
        let effects = try server.core.handle(
            .join(endpoints), now: server.now, entropy: &server.entropy, store: &server.store)
        #expect(effects.count == 8 && server.core.calls.count == 8)
        return server
    }

    @Test("is given up by the core itself, and its place is free again")
    func overdue() throws {
        var server = try started()
        server.now = server.now.adding(milliseconds: DirectoryCore.callLifetime - 1)
        _ = try server.wake()
        #expect(server.core.calls.values.count { $0.started.adding(seconds: 20) < server.now } == 8)
        let due = try #require(server.core.nextWake)
        #expect(due <= server.now.adding(milliseconds: 1))
        server.now = server.now.adding(milliseconds: 1)
        _ = try server.wake()
        #expect(server.core.counters.callsOverdue == 8)
        #expect(server.core.calls.values.allSatisfy { $0.started.adding(seconds: 20) > server.now })
        // Whatever was begun meanwhile ends too, and what is said of it later changes nothing.
        for _ in 0..<3 {
            server.now = server.now.adding(milliseconds: DirectoryCore.callLifetime)
            _ = try server.wake()
        }
        let failed = server.core.counters.callsFailed
        _ = try server.core.handle(
            .failed(call: 1), now: server.now, entropy: &server.entropy, store: &server.store)
        #expect(server.core.counters.callsFailed == failed)
    }

    @Test("is given up after as long when the clock goes back")
    func turnedBack() throws {
        var server = try started()
        server.now = Timestamp(milliseconds: server.now.milliseconds - 3_600_000)
        _ = try server.wake()
        server.now = server.now.adding(milliseconds: DirectoryCore.callLifetime + 1)
        _ = try server.wake()
        #expect(server.core.counters.callsOverdue >= 8)
    }
}
