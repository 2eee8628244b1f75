import Foundation
import Primitives
import Records
import Testing
import Wire

/// The second implementation, in Python: Tests/Peers/record.py.
///
/// Its interpreter, with `cryptography` installed, is named by the environment's `HULDA_PYTHON`. Continuous integration
/// (`CI=true`) must have it; elsewhere the tests that need it are skipped without.
private enum Peer {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let interpreter = ProcessInfo.processInfo.environment["HULDA_PYTHON"]
    static let isWanted = interpreter != nil || ProcessInfo.processInfo.environment["CI"] == "true"

    /// The standard output of record.py.
    static func run(_ arguments: [String], input: Data = Data()) throws -> Data {
        let interpreter = try #require(interpreter, "HULDA_PYTHON names no Python interpreter")
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString)")
        try input.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = [repository.appendingPathComponent("Tests/Peers/record.py").path] + arguments
        process.standardInput = try FileHandle(forReadingFrom: file)
        process.standardOutput = output
        try process.run()
        let answer = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "record.py ended with status \(process.terminationStatus)")
        return answer
    }
}

/// One record of specs/vectors/record.json: everything in hexadecimal but the three numbers.
private struct Case: Decodable {
    let seed, user, blinded, record, homes, sealing, operational, operationalExpiry, certificate: String
    let policy, prekeys, serial, epoch, expiry, sequence: String

    static func all() throws -> [Case] {
        struct File: Decodable { let cases: [Case] }
        let url = Peer.repository.appendingPathComponent("specs/vectors/record.json")
        return try JSONDecoder().decode(File.self, from: Data(contentsOf: url)).cases
    }
}

private func bytes(_ text: String) throws -> [UInt8] { try #require(Hex.decode(text)) }

private func homes(of body: RecordBody) -> String {
    Hex.encode(body.homes.flatMap { $0.node.bytes + $0.account.bytes })
}

private func hex(_ number: UInt64) -> String {
    Hex.encode(withUnsafeBytes(of: number.littleEndian) { Array($0) })
}

@Suite("Directory records of another implementation")
struct RecordVectorTests {
    @Test("the committed vectors verify, open to their fields, and are signed the same by us")
    func vectors() throws {
        let cases = try Case.all()
        #expect(cases.count == 6)
        for made in cases {
            let encoded = try bytes(made.record)
            let record = try DirectoryRecord(decoding: encoded)
            #expect(record.encode() == encoded)
            #expect(
                ["\(record.epoch)", "\(record.expiry)", "\(record.sequence)"] == [
                    made.epoch, made.expiry, made.sequence,
                ])
            try record.verify(at: Timestamp(seconds: record.epoch * 86_400 + 43_200))

            var seed = try bytes(made.seed)
            let user = try SigningKey(seed: SecretBytes(taking: &seed))
            #expect(user.publicKey.bytes.hex == made.user)
            #expect(record.blindedKey.bytes.hex == made.blinded)
            let factor = BlindingFactor(Domain("hulda/blind"), key: user.publicKey, epoch: record.epoch)
            let signature = BlindedSigningKey(user, factor).sign(Array(encoded.dropLast(64)))
            #expect(signature == record.signature)

            let body = try record.open(user: user.publicKey)
            #expect(homes(of: body) == made.homes)
            #expect("\(body.serial)" == made.serial)
            #expect(body.sealing.bytes.hex == made.sealing)
            #expect(body.operational.bytes.hex == made.operational)
            #expect(hex(body.operationalExpiry) == made.operationalExpiry)
            #expect(body.certificate.bytes.hex == made.certificate)
            #expect(Hex.encode([body.policy]) == made.policy)
            #expect(body.prekeys.hex == made.prekeys)
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        _ = try Peer.run(["vectors", file.path])
        let committed = Peer.repository.appendingPathComponent("specs/vectors/record.json")
        #expect(try Data(contentsOf: file) == Data(contentsOf: committed))
    }

    @Test("Python opens our records", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func toPeer() throws {
        let seed: UInt64 = 20_261_123
        print("records to Python: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var lines = Data()
        var expected: [[String: String]] = []
        for index in 0..<20 as Range<UInt64> {
            let user = SigningKey(&entropy)
            let body = RecordBody(
                home: entropy.bytes(), account: entropy.bytes(),
                second: index % 2 == 0 ? nil : .init(node: entropy.bytes(), account: entropy.bytes()),
                serial: index % 3, sealing: X25519PrivateKey(&entropy).publicKey,
                operational: SigningKey(&entropy).publicKey, operationalExpiry: UInt64(entropy.below(1 << 40)),
                policy: 1, prekeys: entropy.bytes(), user: user)
            let epoch = UInt64(entropy.below(1 << 30))
            let record = try DirectoryRecord.seal(
                body: body, user: user, epoch: epoch, sequence: UInt64(entropy.below(1 << 50)),
                expiry: epoch * 86_400 + 5, entropy: &entropy)
            let request = ["user": user.publicKey.bytes.hex, "record": Hex.encode(record.encode())]
            lines += try JSONSerialization.data(withJSONObject: request) + Data("\n".utf8)
            expected.append([
                "homes": homes(of: body), "serial": "\(body.serial)", "sealing": body.sealing.bytes.hex,
                "operational": body.operational.bytes.hex, "operationalExpiry": hex(body.operationalExpiry),
                "certificate": body.certificate.bytes.hex, "policy": "01", "prekeys": body.prekeys.hex,
                "epoch": "\(record.epoch)", "expiry": "\(record.expiry)", "sequence": "\(record.sequence)",
            ])
        }
        let answers = try Peer.run([], input: lines).split(separator: UInt8(ascii: "\n"))
            .map { try JSONDecoder().decode([String: String].self, from: $0) }
        #expect(answers == expected)
    }
}
