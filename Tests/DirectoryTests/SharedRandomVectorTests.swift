import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Directory

/// Messages with witnesses as another implementation makes them.
@Suite struct SharedRandomVectorTests {
    private struct File: Decodable {
        struct Round: Decodable {
            /// Seeds of a cluster and of its server, and when the certificate expires; the first speaks, the others witness.
            let signers: [[String]]
            let secret: String
            let epoch: String
            let message: String
            let digest: String
            let witnessed: String
        }
        let rounds: [Round]
    }

    private static func key(_ hex: String) throws -> SigningKey {
        var seed = try #require(Hex.decode(hex))
        return try SigningKey(seed: SecretBytes(taking: &seed))
    }

    private static func signer(_ parts: [String]) throws -> CertifiedSigner {
        let cluster = try key(parts[0])
        let server = SharedKey(try key(parts[1]))
        let certificate = ServerCertificate(
            server: server.publicKey, expiry: try #require(UInt64(parts[2])), cluster: cluster)
        return CertifiedSigner(certificate: certificate) { server.sign($0) }
    }

    @Test("what witnesses sign, and the messages with their signatures, are those of the vectors")
    func known() throws {
        let rounds = try Peer.vectors("directory", as: File.self).rounds
        #expect(rounds.count == 2)
        for one in rounds {
            let epoch = try #require(UInt64(one.epoch))
            let signers = try one.signers.map(SharedRandomVectorTests.signer)
            let speaker = try #require(signers.first).certificate.clusterID
            let secret = try #require(Bytes32(Hex.decode(one.secret) ?? []))
            let read = try SharedRandom.Witnessed(decoding: Hex.decode(one.witnessed) ?? [])
            #expect(read.isWitnessed && read.signatures == 4 && Hex.encode(read.encode()) == one.witnessed)
            var message = SharedRandom.Message.reveal(participant: speaker, epoch: epoch, secret: secret)
            if case .commit = read.message {
                let commitment = SharedRandom.commitment(secret, of: speaker, epoch: epoch)
                message = .commit(.init(.commit, epoch: epoch, content: commitment, by: signers[0]))
                #expect(message.isSigned)
            }
            var made = SharedRandom.Witnessed(message)
            #expect(Hex.encode(made.encode()) == one.message && Hex.encode(made.digest) == one.digest)
            for signer in signers.reversed() { made.sign(by: signer) }
            #expect(made == read)
        }
    }

    @Test("Python makes the same of drawn messages", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func python() throws {
        var entropy = Entropy(seed: 570)
        var requests: [[String: Any]] = []
        var expected: [[String: String]] = []
        for count in 1...10 {
            let seeds = (0..<count).map { number in
                [Hex.encode(entropy.array(32)), Hex.encode(entropy.array(32)), String(20_000 * 86_400 + number)]
            }
            let speaker = VerifyingKey(entropy.bytes())
            var version = SharedRandom.Witnessed(
                .reveal(participant: speaker, epoch: UInt64(count), secret: entropy.bytes()))
            requests.append([
                "operation": "witnessed", "message": Hex.encode(version.encode()), "participant": speaker.bytes.hex,
                "signers": seeds,
            ])
            for seed in seeds { version.sign(by: try SharedRandomVectorTests.signer(seed)) }
            expected.append(["digest": Hex.encode(version.digest), "message": Hex.encode(version.encode())])
        }
        let answers = try Peer("directory").answers(to: requests, as: [String: String].self)
        #expect(answers.count == expected.count)
        for (answer, expected) in zip(answers, expected) { #expect(answer == expected) }
    }
}
