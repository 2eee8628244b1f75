import Foundation
import Primitives
import SecondImplementation
import Testing

/// Python, which computes the same from other libraries and from scratch.
private let peer = Peer("primitives")

@Suite("An independent computation in Python", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
struct PeerTests {
    private static let seed: UInt64 = 20_260_701

    @Test("agrees about blinded keys and their signatures")
    func blinding() throws {
        print("blinding against Python: seed \(PeerTests.seed)")
        var entropy = Entropy(seed: PeerTests.seed)
        var requests: [[String: Any]] = []
        var expected: [[String: String]] = []
        for round in 0..<20 {
            let seed = entropy.array(32)
            let epoch = UInt64(entropy.below(1 << 40))
            let message = entropy.array(entropy.below(300))
            let domain = round % 2 == 0 ? Domain("hulda/blind") : Domain("hulda/other")
            let key = try SigningKey(seed: secret(seed))
            let factor = BlindingFactor(domain, key: key.publicKey, epoch: epoch)
            let blinded = BlindedSigningKey(key, factor)
            requests.append([
                "operation": "blind", "seed": Hex.encode(seed), "epoch": epoch, "message": Hex.encode(message),
                "domain": round % 2 == 0 ? "hulda/blind" : "hulda/other",
            ])
            expected.append([
                "public": key.publicKey.bytes.hex, "blinded": try factor.blind(key.publicKey).bytes.hex,
                "signature": blinded.sign(message).bytes.hex,
            ])
        }
        let answers = try peer.answers(to: requests, as: [String: String].self)
        #expect(answers.count == expected.count)
        for (answer, expected) in zip(answers, expected) {
            #expect(answer.filter { $0.key != "factor" } == expected)
        }
    }

    @Test("agrees about LIONESS, hashes, ciphers, signatures and key agreement")
    func constructions() throws {
        print("constructions against Python: seed \(PeerTests.seed)")
        var entropy = Entropy(seed: PeerTests.seed &+ 1)
        var requests: [[String: Any]] = []
        var expected: [[UInt8]] = []
        for size in [33, 64, 95, 127, 1000, 2048] {
            let key = entropy.array(Lioness.keySize)
            var block = entropy.array(size)
            requests.append(["operation": "lioness", "key": Hex.encode(key), "message": Hex.encode(block)])
            block.withUnsafeMutableBytes { block in key.withUnsafeBytes { Lioness.encrypt(block, key: $0) } }
            expected.append(block)
        }
        for size in [0, 1, 127, 128, 129, 1000] {
            let message = entropy.array(size)
            let key = entropy.array(32)
            requests.append([
                "operation": "blake2b", "size": 32, "domain": "hulda/test", "message": Hex.encode(message),
            ])
            expected.append(BLAKE2b.h(Domain("hulda/test"), message).bytes)
            requests.append([
                "operation": "blake2b", "size": 32, "domain": "hulda/sixteen+++", "key": Hex.encode(key),
                "message": Hex.encode(message),
            ])
            expected.append(
                bytes(BLAKE2b.deriveKey(from: secret(key), Domain("hulda/sixteen+++"), context: message)))
            requests.append([
                "operation": "chachapoly", "key": Hex.encode(key), "nonce": String(repeating: "0", count: 24),
                "associated": "0102", "message": Hex.encode(message),
            ])
            expected.append(ChaChaPoly.sealOnce(message, key: secret(key), associated: [1, 2]))
            requests.append(["operation": "ed25519", "seed": Hex.encode(key), "message": Hex.encode(message)])
            expected.append(try SigningKey(seed: secret(key)).sign(message).bytes.bytes)
            let peer = X25519PrivateKey(&entropy).publicKey
            requests.append(["operation": "x25519", "key": Hex.encode(key), "message": peer.bytes.hex])
            expected.append(bytes(try X25519PrivateKey(secret(key)).sharedSecret(with: peer)))
        }
        let answers = try peer.answers(to: requests, as: [String: String].self)
        #expect(answers.map { $0["result"] } == expected.map { Hex.encode($0) })
    }

    @Test("agrees about keys from passphrases")
    func argon2id() throws {
        var requests: [[String: Any]] = []
        var expected: [[UInt8]] = []
        for (operations, memory) in [(1, 8), (2, 64), (3, 1024), (2, 65_536)] {
            let salt = try fixed(Bytes16.self, "000102030405060708090a0b0c0d0e0f")
            let cost = Argon2id(operations: UInt32(operations), memoryKiB: UInt32(memory))
            expected.append(bytes(try cost.key(passphrase: secret(Array("correct horse".utf8)), salt: salt)))
            requests.append([
                "operation": "argon2id", "message": Hex.encode(Array("correct horse".utf8)), "salt": salt.hex,
                "operations": operations, "memory": memory,
            ])
        }
        let answers = try peer.answers(to: requests, as: [String: String].self)
        #expect(answers.map { $0["result"] } == expected.map { Hex.encode($0) })
    }
}
