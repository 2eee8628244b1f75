import Directory
import Primitives
import Storage
import Testing
import Wire

@testable import Node

/// What a node's core loop does when more comes than it can take, and when the store fails in the middle of a turn.
@Suite("The loop of a node's cores")
struct ControlEventTests {
    private static func onCores<T: Sendable>(
        _ node: NodeRuntime, _ body: @escaping @Sendable (CoreOwner) -> T
    ) async -> T {
        await withCheckedContinuation { continuation in
            node.cores.enqueue { continuation.resume(returning: body($0)) }
        }
    }

    private static let ping = DirectoryMessage.findNode(target: Bytes32()).encode()

    private static func request(_ token: UInt64) -> CoreOwner.Event {
        .directory(.request(from: nil, token: token, message: ping))
    }

    @Test("never drops the end of a link or of a call, and takes no token for a request that it drops")
    func full() async throws {
        try await withNode("full", at: "127.189.0.2:7412") { node in
            let (events, tokens, wakes) = await Self.onCores(node) { cores in
                let (before, waiting) = (cores.events, cores.wakesWaiting)
                cores.wakesWaiting = []
                // No turn begins before this closure has ended.
                cores.isDraining = true
                cores.events = (0..<CoreOwner.eventLimit).map { .map(.message(link: UInt64($0), [])) }
                cores.handle(Self.request(7))
                #expect(cores.events.count == CoreOwner.eventLimit)
                for call in 1...3 as ClosedRange<UInt64> { cores.handle(.directory(.failed(call: call))) }
                cores.handle(.map(.linkDown(link: 1)))
                cores.handle(.directory(.answer(call: 9, message: [])))
                for _ in 0..<5 { cores.handle(.home(.wake)) }
                let counts = (
                    cores.events.count - CoreOwner.eventLimit, cores.token(.datagram(1)),
                    cores.events.count { $0.isWake }
                )
                cores.events = before
                cores.wakesWaiting = waiting
                cores.isDraining = false
                return counts
            }
            #expect(events == 6 && tokens == nil && wakes == 1)
        }
    }

    @Test("hands in once more what may not be lost when the store fails, and frees what requests have taken")
    func failing() async throws {
        try await withNode("failing", at: "127.189.0.3:7413") { node in
            await Self.onCores(node) { cores in
                let (before, waiting) = (cores.events, cores.wakesWaiting)
                cores.isDraining = true
                cores.events = []
                cores.wakesWaiting = []
                let (first, second) = (cores.token(.datagram(1)), cores.token(.datagram(2)))
                let rest: [CoreOwner.Event] = [
                    .directory(.answer(call: 77, message: [])), Self.request(first ?? 0), .map(.linkDown(link: 5)),
                    .home(.wake),
                ]
                let effects: [CoreOwner.Effect] = [.directory(.answer(token: second ?? 0, message: Self.stored))]
                let turns = CoreOwner.failureLimit
                var batch = rest
                for turn in 1...turns {
                    cores.abandon(batch[...], turn == 1 ? effects : [], .now())
                    #expect(cores.events.count == 3 && cores.events.allSatisfy { !$0.isInput })
                    #expect(cores.retryDue != nil && cores.wakesWaiting == [.home])
                    batch = cores.events
                    cores.events = []
                    cores.wakesWaiting = []
                }
                if let first { #expect(cores.answerers[first] == nil) }
                if let second { #expect(cores.answerers[second] == nil, "its answer promised what is not on disk") }
                // One event at which the store always fails does not keep the others from being handled.
                cores.abandon(batch[...], [], .now())
                #expect(cores.events.count == 2 && cores.failures == 0)
                #expect(cores.ledger.counters["core.event.failed"] == 1)
                cores.events = before
                cores.wakesWaiting = waiting
                cores.isDraining = false
            }
        }
    }

    private static let stored = DirectoryMessage.stored(sequence: 1).encode()
}
