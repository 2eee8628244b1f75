import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

/// One record of specs/vectors/record.json: numbers in decimal digits, all else in hexadecimal ones.
private struct Case: Decodable {
    let seed, user, blinded, record, homes, sealing, operational, operationalExpiry, certificate: String
    let policy, prekeys, serial, epoch, sequence, published: String

}

/// A record that a reader refuses at some moment.
private struct Refused: Decodable {
    let name, now, user, record: String
}

private struct File: Decodable {
    let cases: [Case]
    let refusals: [Refused]
}

private func bytes(_ text: String) throws -> [UInt8] { try #require(Hex.decode(text)) }

private func homes(of body: RecordBody) -> String {
    Hex.encode(body.homes.flatMap { $0.node.bytes + $0.account.bytes })
}

@Suite("Directory records of another implementation")
struct RecordVectorTests {
    @Test("the committed vectors verify, open to their fields, and are signed the same by us")
    func vectors() throws {
        let cases = try Peer.vectors("record", as: File.self).cases
        #expect(cases.count == 6)
        for made in cases {
            let encoded = try bytes(made.record)
            let record = try DirectoryRecord(decoding: encoded)
            #expect(record.encode() == encoded)
            #expect(
                ["\(record.epoch)", "\(record.sequence)"] == [made.epoch, made.sequence])
            try record.verify(at: Timestamp(seconds: record.epoch * 86_400 + 43_200))

            var seed = try bytes(made.seed)
            let user = try SigningKey(seed: SecretBytes(taking: &seed))
            #expect(user.publicKey.bytes.hex == made.user)
            #expect(record.blindedKey.bytes.hex == made.blinded)
            let base = SequenceBase(user: user.publicKey, epoch: record.epoch)
            #expect("\(base.seconds(of: record.sequence))" == made.published)
            #expect(try base.sequence(at: #require(UInt64(made.published))) == record.sequence)
            let factor = BlindingFactor(Domain("hulda/blind"), key: user.publicKey, epoch: record.epoch)
            let signature = BlindedSigningKey(user, factor).sign(Array(encoded.dropLast(64)))
            #expect(signature == record.signature)

            let body = try record.open(
                by: BlindedID(NetworkID(key: user.publicKey), epoch: record.epoch),
                at: Timestamp(seconds: record.epoch * 86_400))
            #expect(homes(of: body) == made.homes)
            #expect("\(body.serial)" == made.serial)
            #expect(body.sealing.bytes.hex == made.sealing)
            #expect(body.operational.bytes.hex == made.operational)
            #expect("\(body.operationalExpiry)" == made.operationalExpiry)
            #expect(body.certificate.bytes.hex == made.certificate)
            #expect("\(body.policy)" == made.policy)
            #expect(body.prekeys.hex == made.prekeys)
        }
    }

    @Test("records with a single fault in what is signed and sealed are refused, each for that fault")
    func refusals() throws {
        let refusals = try Peer.vectors("record", as: File.self).refusals
        #expect(refusals.count == 13)
        for refused in refusals {
            let now = Timestamp(seconds: try #require(UInt64(refused.now)))
            let record = try DirectoryRecord(decoding: try bytes(refused.record))
            try record.verify(at: now)
            let key = VerifyingKey(try #require(Bytes32(bytes(refused.user))))
            let reader = try BlindedID(NetworkID(key: key), epoch: record.epoch)
            let error = #expect(throws: RecordError.self, "\(refused.name)") { try record.open(by: reader, at: now) }
            switch refused.name {
            case "serial", "certificate", "operational key is over", "operational key lasts too long":
                #expect(error == .wrongCertificate, "\(refused.name)")
            default:
                guard case .malformed = error else {
                    Issue.record("\(refused.name): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("record").writesVectors()) }

    @Test("Python opens our records", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func toPeer() throws {
        let seed: UInt64 = 20_261_123
        print("records to Python: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var requests: [[String: Any]] = []
        var expected: [[String: String]] = []
        for index in 0..<20 as Range<UInt64> {
            let user = SigningKey(&entropy)
            let body = RecordBody(
                home: entropy.bytes(), account: entropy.bytes(),
                second: index % 2 == 0 ? nil : .init(node: entropy.bytes(), account: entropy.bytes()),
                serial: index % 3, sealing: X25519PrivateKey(&entropy).publicKey,
                operational: SigningKey(&entropy).publicKey, operationalExpiry: UInt64(entropy.below(1 << 40)),
                policy: 1, prekeys: Bytes32(), user: user)
            let epoch = UInt64(entropy.below(1 << 30))
            let published = UInt64(entropy.below(1 << 40))
            let sequence = SequenceBase(user: user.publicKey, epoch: epoch).sequence(at: published)
            let record = try DirectoryRecord.seal(
                body: body, user: user, epoch: epoch, sequence: sequence, entropy: &entropy)
            requests.append(["user": user.publicKey.bytes.hex, "record": Hex.encode(record.encode())])
            expected.append([
                "homes": homes(of: body), "serial": "\(body.serial)", "sealing": body.sealing.bytes.hex,
                "operational": body.operational.bytes.hex, "operationalExpiry": "\(body.operationalExpiry)",
                "certificate": body.certificate.bytes.hex, "policy": "1", "prekeys": body.prekeys.hex,
                "epoch": "\(record.epoch)", "sequence": "\(record.sequence)", "published": "\(published)",
            ])
        }
        #expect(try Peer("record").answers(to: requests) == expected)
    }
}
