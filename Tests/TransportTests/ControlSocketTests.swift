import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Primitives
import Testing
import Transport

@Suite("The operator's socket")
struct ControlSocketTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let path = FileManager.default.temporaryDirectory.path + "/hulda-\(UInt32.random(in: 0...UInt32.max)).sock"

    @Test("answers one line by one line and closes")
    func oneLine() async throws {
        let server = try await ControlSocket.serve(path: path, group: group) { line, loop in
            loop.makeSucceededFuture(Array("you said ".utf8) + line)
        }
        let answer = try await ControlSocket.ask(path: path, Array("hello".utf8), group: group)
        #expect(String(decoding: answer, as: UTF8.self) == "you said hello")
        try await server.close()
        await #expect(throws: (any Error).self) { try await ControlSocket.ask(path: path, [1], group: group) }
    }

    @Test("closes connections that bring no whole line in time, and those beyond its bound, and tells of each")
    func bounds() async throws {
        let refused = NIOLockedValueBox<[ControlSocket.Refusal]>([])
        let server = try await ControlSocket.serve(
            path: path, group: group, connections: 2, patience: .milliseconds(500),
            refused: { reason in refused.withLockedValue { $0.append(reason) } },
            answer: { line, loop in loop.makeSucceededFuture(line) })
        var idle: [any Channel] = []
        for _ in 0..<2 {
            let channel = try await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get()
            try await channel.writeAndFlush(ByteBuffer(string: "half a li")).get()
            idle.append(channel)
        }
        await #expect(throws: (any Error).self) { try await ControlSocket.ask(path: path, [1], group: group) }
        for channel in idle { try await channel.closeFuture.get() }
        #expect(try await ControlSocket.ask(path: path, [2], group: group) == [2])
        #expect(refused.withLockedValue { $0.map(\.rawValue).sorted() } == ["crowded", "stalled", "stalled"])
        try await server.close()
    }

    @Test("takes one question of a connection, none that is too long, and outlives noise")
    func hostile() async throws {
        let questions = NIOLockedValueBox<[Int]>([])
        let server = try await ControlSocket.serve(path: path, group: group) { line, loop in
            questions.withLockedValue { $0.append(line.count) }
            return loop.makeSucceededFuture([1])
        }
        var entropy = Entropy(seed: 8)
        var floods: [[UInt8]] = [
            Array(repeating: 10, count: 100_000), Array(repeating: 65, count: 2_000_000),
            Array(repeating: 65, count: ControlSocket.questionLimit + 1) + [10],
            Array(repeating: 65, count: ControlSocket.questionLimit) + [10],
        ]
        for _ in 0..<30 { floods.append(entropy.array(entropy.below(10_000))) }
        for bytes in floods {
            let channel = try await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get()
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
            // Where no line ends the server waits for more.
            if bytes.prefix(ControlSocket.questionLimit + 1).contains(10) { try? await channel.closeFuture.get() }
            try? await channel.close().get()
        }
        let answer = try await ControlSocket.ask(path: path, [2], group: group)
        #expect(answer == [1])
        let sizes = questions.withLockedValue { $0 }
        #expect(sizes.contains(0) && sizes.contains(ControlSocket.questionLimit))
        #expect(sizes.count <= floods.count && sizes.allSatisfy { $0 <= ControlSocket.questionLimit })
        try await server.close()
    }
}
