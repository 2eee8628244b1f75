import Foundation
import Primitives
import SecondImplementation
import Testing

@testable import Link

/// A child process that speaks Noise through another implementation.
final class NoisePeer {
    private let process: Process
    private let input = Pipe()
    private let output = Pipe()

    /// - Parameter script: the name of a file of Tests/Peers, whose own text says what it does.
    init(_ script: String, _ arguments: [String]) throws {
        // A peer that ended must fail the test, not end the test process.
        signal(SIGPIPE, SIG_IGN)
        process = try Peer(script).process(arguments)
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func send(_ message: [UInt8]) throws {
        let header = withUnsafeBytes(of: UInt32(message.count).littleEndian) { Array($0) }
        try input.fileHandleForWriting.write(contentsOf: header + message)
    }

    func receive() throws -> [UInt8] {
        let header = try read(4)
        return try read(header.reversed().reduce(0) { $0 << 8 | Int($1) })
    }

    private func read(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try output.fileHandleForReading.read(upToCount: count - bytes.count) ?? Data()
            try #require(!more.isEmpty, "the Python peer ended; its error is above")
            bytes += more
        }
        return bytes
    }
}

@Suite("Noise against another implementation", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
struct InteroperabilityTests {
    private let prologue = Array("hulda/link/1".utf8)

    @Test("our initiator talks to the package noiseprotocol", arguments: [NoisePattern.ik, .nk])
    func initiator(_ pattern: NoisePattern) throws {
        var entropy = Entropy.system()
        let own = privateKey(1)
        let remote = X25519PrivateKey(&entropy)
        let peer = try NoisePeer(
            "noise_peer",
            [
                pattern.protocolName, "responder", Hex.encode(prologue), remote.withUnsafeBytes { Hex.encode($0) }, "-",
            ])
        let identity: X25519PrivateKey? = pattern == .ik ? own.copy() : nil
        var noise = NoiseHandshake.initiator(
            pattern, prologue: prologue, identity: identity, responder: remote.publicKey,
            ephemeral: X25519PrivateKey(&entropy))
        try peer.send(try noise.write(Array("from Swift".utf8)))
        #expect(try peer.receive() == Array("from Swift".utf8))
        let payload = try noise.read(try peer.receive())
        #expect(payload == Array("payload of responder".utf8))
        let keys = try noise.split()
        try talk(peer, hash: keys.hash, sending: keys.fromInitiator, receiving: keys.fromResponder)
    }

    @Test("our responder talks to the package noiseprotocol", arguments: [NoisePattern.ik, .nk])
    func responder(_ pattern: NoisePattern) throws {
        var entropy = Entropy.system()
        let own = privateKey(1)
        let remote = X25519PrivateKey(&entropy)
        let peer = try NoisePeer(
            "noise_peer",
            [
                pattern.protocolName, "initiator", Hex.encode(prologue),
                pattern == .ik ? remote.withUnsafeBytes { Hex.encode($0) } : "-", own.publicKey.bytes.hex,
            ])
        var noise = NoiseHandshake.responder(
            pattern, prologue: prologue, identity: own.copy(), ephemeral: X25519PrivateKey(&entropy))
        let payload = try noise.read(try peer.receive())
        #expect(payload == Array("payload of initiator".utf8))
        let learnt = noise.remoteStatic
        #expect(learnt == (pattern == .ik ? remote.publicKey : nil))
        try peer.send(try noise.write(Array("from Swift".utf8)))
        #expect(try peer.receive() == Array("from Swift".utf8))
        let keys = try noise.split()
        try talk(peer, hash: keys.hash, sending: keys.fromResponder, receiving: keys.fromInitiator)
    }

    /// Transport messages both ways, across a change of keys.
    private func talk(
        _ peer: NoisePeer, hash: Bytes64, sending: borrowing SecretBytes, receiving: borrowing SecretBytes
    ) throws {
        #expect(try peer.receive() == hash.bytes)
        var there = NoiseCipherBox(sending)
        var back = NoiseCipherBox(receiving)
        for round in 0..<20 as Range<UInt8> {
            if round == 10 {
                try peer.send([])
                there.rekey()
                back.rekey()
            }
            let message = [UInt8](repeating: round, count: 1 + 131 * Int(round)) + [1, 2, 3]
            try peer.send(try there.seal(message))
            let answer = try back.open(try peer.receive())
            #expect(answer == message.reversed())
        }
    }
}
