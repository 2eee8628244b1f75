import NIOConcurrencyHelpers
import Primitives
import Testing
import Transport
import Wire

@Suite("A datagram loop")
struct DatagramLoopTests {
    @Test("does work of many threads, each thread's in order, and all of it before it ends")
    func work() async throws {
        let loop = try DatagramLoop()
        let done = NIOLockedValueBox<[[Int]]>(Array(repeating: [], count: 8))
        // What comes before the start waits for it.
        loop.execute { done.withLockedValue { $0[0].append(-1) } }
        try loop.start()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for number in 0..<500 {
                        loop.execute { done.withLockedValue { $0[task].append(number) } }
                        if number % 100 == 0 { await Task.yield() }
                    }
                }
            }
        }
        await loop.stop()
        let numbers = Array(0..<500)
        #expect(done.withLockedValue { $0 } == [[-1] + numbers] + Array(repeating: numbers, count: 7))
        // Nothing is done any more, and to stop again is harmless.
        loop.execute { done.withLockedValue { $0[0] = [] } }
        await loop.stop()
        #expect(done.withLockedValue { $0[0].count } == 501)
    }

    @Test("work that makes work keeps neither datagrams nor the moment waiting")
    func fairness() async throws {
        let loop = try DatagramLoop()
        let socket = try DatagramSocket(SocketAddress(v4: (127, 0, 0, 1), port: 0))
        let seen = NIOLockedValueBox((datagrams: 0, isWoken: false))
        let isEnough = NIOLockedValueBox(false)
        @Sendable func again() {
            if !isEnough.withLockedValue({ $0 }) { loop.execute { again() } }
        }
        loop.execute {
            loop.serve(socket) { _, _ in seen.withLockedValue { $0.datagrams += 1 } }
            loop.wake(in: 60_000) { Issue.record("a moment that was replaced came") }
            loop.wake(in: 20) { seen.withLockedValue { $0.isWoken = true } }
            for _ in 0..<40 { loop.send([1], to: socket.address) }
            again()
        }
        try loop.start()
        for _ in 0..<600 where seen.withLockedValue({ $0.datagrams < 40 || !$0.isWoken }) {
            try await Task.sleep(for: .milliseconds(10))
        }
        isEnough.withLockedValue { $0 = true }
        await loop.stop()
        #expect(seen.withLockedValue { $0.datagrams } == 40)
        #expect(seen.withLockedValue { $0.isWoken })
    }

    @Test("one that was never started stops at once")
    func unstarted() async throws {
        let loop = try DatagramLoop()
        await loop.stop()
    }

    @Test("receives and sends nothing once its socket is closed, and works on")
    func closed() async throws {
        let loop = try DatagramLoop()
        let socket = try DatagramSocket(SocketAddress(v4: (127, 0, 0, 1), port: 0))
        let received = NIOLockedValueBox(0)
        try loop.start()
        loop.execute {
            loop.serve(socket) { _, _ in received.withLockedValue { $0 += 1 } }
            loop.closeSocket()
            loop.send([1], to: socket.address)
        }
        await withCheckedContinuation { continuation in loop.execute { continuation.resume() } }
        // The place is free again.
        let next = try DatagramSocket(socket.address)
        #expect(next.address == socket.address)
        await loop.stop()
        #expect(received.withLockedValue { $0 } == 0)
    }
}
