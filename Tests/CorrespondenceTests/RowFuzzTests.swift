import Fuzz
import Home
import Primitives
import Storage
import Testing
import Wire

@testable import Correspondence

@Suite("An agent's store under noise")
struct RowFuzzTests {
    @Test("an agent whose store is damaged starts or says that it is damaged, and shows the messages that are whole")
    func rows() throws {
        var garbage = Garbage("agent rows", seed: 341)
        var world = try DeliveryTests.pair(341)
        let text = Array("before the damage".utf8)
        try world.send(0, to: world.agents[1].id, text)
        #expect(try world.run(seconds: 60) { !$0.agents[1].received.isEmpty })
        let tables = [
            Inbox.table, Inbox.seen, Inbox.fragments, Inbox.numbers, Outbox.table, ReplyTable.table, AgentCore.state,
        ]
        for number in [0, 1] {
            let identity = try #require(try Identity.load(world.agents[number].store))
            for _ in 0..<150 {
                var store = try garbage.damage(world.agents[number].store, tables)
                var core: AgentCore
                do throws(StorageError) {
                    core = try AgentCore(
                        identity: identity, configuration: AgentConfiguration(), now: world.now, store: &store)
                } catch {
                    guard case .corrupt = error else { throw error }
                    continue
                }
                for body in try AgentCore.inboxMessages(store).map(\.body) { #expect(body.count <= 70_000) }
                _ = try AgentCore.outboxMessages(store)
                for event in [AgentEvent.wake, .send(world.agents[1 - number].id, body: text, request: 1), .wake] {
                    _ = try core.handle(event, now: world.now, entropy: &garbage.entropy, store: &store)
                }
            }
        }
    }
}
