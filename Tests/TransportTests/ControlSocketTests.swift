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

    @Test("lies in its folder with mode 0600 however long the path is, and nothing of it elsewhere")
    func longPath() async throws {
        let temporary = FileManager.default.temporaryDirectory.path
        let before = Set(
            try FileManager.default.contentsOfDirectory(atPath: temporary).filter { $0.hasSuffix(".sock") })
        let top = temporary + "/hulda-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: top) }
        for length in [95, 100, 101, 107, 108, 300] {
            let folder = top + "/" + String(repeating: "a", count: max(1, length - top.utf8.count - 7)).split(by: 100)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let path = folder + "/x.sock"
            let server = try await ControlSocket.serve(path: path, group: group) { line, loop in
                loop.makeSucceededFuture(line)
            }
            #expect(try await ControlSocket.ask(path: path, [1, 2], group: group) == [1, 2], "\(path.utf8.count)")
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            try await server.close()
            await #expect(throws: (any Error).self) { try await ControlSocket.ask(path: path, [1], group: group) }
        }
        let after = Set(try FileManager.default.contentsOfDirectory(atPath: temporary).filter { $0.hasSuffix(".sock") })
        #expect(after.subtracting(before).allSatisfy { !$0.hasPrefix("x") })
        await #expect(throws: (any Error).self) {
            let nowhere = top + "/" + String(repeating: "b", count: 120) + "/x.sock"
            return try await ControlSocket.ask(path: nowhere, [1], group: group)
        }
    }

    /// Another user, which only root can become.
    private static let stranger: UInt32 = 65534

    /// Runs Python as the stranger.
    private func asStranger(_ script: String, _ path: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "setpriv", "--reuid=\(ControlSocketTests.stranger)", "--regid=\(ControlSocketTests.stranger)",
            "--clear-groups", "/usr/bin/python3", "-c", script, path,
        ]
        try process.run()
        return process
    }

    @Test("gives no answer to a process of another user, and takes none from one", .enabled(if: geteuid() == 0))
    func strangers() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/hulda-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        chmod(folder, 0o777)
        let path = folder + "/node.sock"
        let refused = NIOLockedValueBox<[ControlSocket.Refusal]>([])
        let asked = NIOLockedValueBox(0)
        let server = try await ControlSocket.serve(
            path: path, group: group,
            refused: { reason in refused.withLockedValue { $0.append(reason) } },
            answer: { line, loop in
                asked.withLockedValue { $0 += 1 }
                return loop.makeSucceededFuture(line)
            })
        // As an administrator might leave it.
        chmod(path, 0o777)
        let question = try asStranger(
            """
            import socket, sys
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            try:
                s.send(b"status\\n")
                sys.exit(len(s.recv(100)))
            except OSError:
                sys.exit(0)
            """, path)
        question.waitUntilExit()
        #expect(question.terminationStatus == 0)
        for _ in 0..<500 where refused.withLockedValue({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(refused.withLockedValue { $0 } == [.foreign] && asked.withLockedValue { $0 } == 0)
        try await server.close()

        let impostor = try asStranger(
            """
            import socket, sys
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(60)
            s.bind(sys.argv[1])
            s.listen()
            c = s.accept()[0]
            c.send(b"{}\\n")
            c.close()
            """, path)
        // A process that lived on would keep the tests' output open.
        defer { kill(impostor.processIdentifier, SIGKILL) }
        for _ in 0..<500 where !FileManager.default.fileExists(atPath: path) {
            try await Task.sleep(for: .milliseconds(10))
        }
        try await Task.sleep(for: .milliseconds(100))
        let failure = await #expect(throws: ControlSocket.Foreign.self) {
            try await ControlSocket.ask(path: path, [1], group: group)
        }
        #expect(failure?.uid == ControlSocketTests.stranger)
    }
}

extension String {
    /// With a slash after each `length` characters: no file name has more than 255 bytes.
    fileprivate func split(by length: Int) -> String {
        var parts: [String] = []
        var rest = self[...]
        while !rest.isEmpty {
            parts.append(String(rest.prefix(length)))
            rest = rest.dropFirst(length + 1)
        }
        return parts.joined(separator: "/")
    }
}
