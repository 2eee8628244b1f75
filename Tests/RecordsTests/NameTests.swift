import Foundation
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Records

@Suite("A friendly address") struct NameTests {
    /// As cheap as Argon2id can be.
    static let cheap = Argon2id(operations: 1, memoryKiB: 8)
    private static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    @Test("a cluster's name is of letters and digits of any script, and nothing that hides, breaks or turns a line")
    func clusterNames() throws {
        for name in [
            "example", "some cluster", "\u{FC}ber", "cluster-1", "a.b_c", "\u{5B57}", "\u{939}\u{93F}\u{902}", "7",
        ] {
            try ClusterName.check(name)
            #expect(ClusterName.isWritable(name))
        }
        for name in [
            "a@b", "a\u{1B}[2J", "evil\u{1B}[31m", "a\nb", "a\u{202E}b", "a\u{A0}b", " a", "a ", "a  b", "-a", "a.",
            "\u{301}a",
            "a/b", "a\u{200D}b", "a\u{3164}b", "\u{1F600}", "a\u{0}", "a=b", "\"a\"",
        ] {
            #expect(throws: ClusterName.Failure.self, "\(name.debugDescription)") { try ClusterName.check(name) }
        }
        #expect(throws: ClusterName.Failure.length(0)) { try ClusterName.check("") }
        #expect(throws: ClusterName.Failure.length(65)) { try ClusterName.check(String(repeating: "z", count: 65)) }
        for name in [ClusterText.encode(VerifyingKey(Bytes32())), "Hulda1q", String(repeating: "0a", count: 32)] {
            #expect(throws: ClusterName.Failure.identity) { try ClusterName.check(name) }
        }
        #expect("\(ClusterName.Failure.character("\u{1B}", position: 4))".contains("character 5, U+001B"))
    }

    @Test("has a name of small letters, digits, - and ., and a cluster")
    func texts() throws {
        let name = try FriendlyName(text: "Ada.L-9@some cluster")
        #expect(name.name == "ada.l-9" && name.cluster == "some cluster")
        for text in ["ada", "ada@", "ada@b@c", "@"] {
            #expect(throws: FriendlyNameError.noCluster) { try FriendlyName(text: text) }
        }
        #expect(throws: FriendlyNameError.nameLength(0)) { try FriendlyName(text: "@b") }
        #expect(throws: FriendlyNameError.nameLength(33)) {
            try FriendlyName(text: String(repeating: "a", count: 33) + "@b")
        }
        for bad in ["a b", "a_b", "\u{E4}", "\u{212A}", "q\u{301}", "a/b", "a\u{0}"] {
            #expect(throws: FriendlyNameError.self) { try FriendlyName(text: bad + "@b") }
        }
        var entropy = Entropy(seed: 50)
        let cluster = SigningKey(&entropy).publicKey
        #expect(try ClusterText.decode(ClusterText.encode(cluster)) == cluster)
        #expect(try ClusterText.decode("example") == nil)
        var wrong = Array(ClusterText.encode(cluster))
        wrong[20] = wrong[20] == "q" ? "p" : "q"
        #expect(throws: FriendlyNameError.clusterID(.checksumMismatch)) { try ClusterText.decode(String(wrong)) }
    }

    @Test("leads to the ID that its owner sealed, under the server's key, for whoever knows the name only")
    func roundTrip() throws {
        var entropy = Entropy(seed: 51)
        let server = SigningKey(&entropy)
        let user = SigningKey(&entropy)
        let secret = try NameSecret(name: "ada", server: server.publicKey, cost: NameTests.cheap)
        let pointer = NamePointer.seal(user: user, secret, entropy: &entropy)
        let record = try NameRecord.seal(
            label: secret.label, pointer: pointer, server: server, epoch: 20_000, published: 7)
        try DirectoryRecord(decoding: record.encode()).verify(at: NameTests.noon)
        #expect(try record.blindedKey == secret.blindedKey(epoch: 20_000))
        #expect(try NameRecord.open(record, secret) == .user(NetworkID(key: user.publicKey)))
        #expect(record.encode().count == DirectoryRecord.size, "as long as a user's record")

        let other = try NameSecret(name: "adb", server: server.publicKey, cost: NameTests.cheap)
        #expect(throws: RecordError.invalidKey) { try NameRecord.open(record, other) }
        // The home has the label and not the name: the pointer stays closed.
        let stranger = try NameSecret(name: "ada", server: user.publicKey, cost: NameTests.cheap)
        #expect(stranger.label != secret.label)
        #expect(throws: RecordError.wrongBody) { try NamePointer.open(pointer, stranger) }
        let next = try NameRecord.seal(
            label: secret.label, pointer: pointer, server: server, epoch: 20_001, published: 7)
        #expect(next.blindedKey != record.blindedKey && next.nonce != record.nonce)
    }

    @Test("has records of two days that have no field in common but the version, and none with its owner's")
    func unlinkable() throws {
        var entropy = Entropy(seed: 54)
        let server = SigningKey(&entropy)
        let user = SigningKey(&entropy)
        var all: [[DirectoryRecord]] = []
        for name in ["ada", "bob"] {
            let secret = try NameSecret(name: name, server: server.publicKey, cost: NameTests.cheap)
            let pointer = NamePointer.seal(user: user, secret, entropy: &entropy)
            all.append(
                try [20_000, 20_001].map { epoch in
                    try NameRecord.seal(
                        label: secret.label, pointer: pointer, server: server, epoch: epoch,
                        published: NameTests.noon.seconds)
                })
        }
        DirectoryRecordTests.expectUnlinkable(all[0], all[1])
        DirectoryRecordTests.expectUnlinkable(all[1], all[0])
    }

    @Test("with any byte of its pointer or record changed leads nowhere")
    func changes() throws {
        var entropy = Entropy(seed: 52)
        let server = SigningKey(&entropy)
        let secret = try NameSecret(name: "ada", server: server.publicKey, cost: NameTests.cheap)
        let user = SigningKey(&entropy)
        let pointer = NamePointer.seal(user: user, secret, entropy: &entropy)
        for index in pointer.indices {
            var changed = pointer
            changed[index] ^= 1 << UInt8(index % 8)
            #expect(throws: RecordError.self) { try NamePointer.open(changed, secret) }
            #expect(throws: RecordError.self) { try NamePointer.open(Array(pointer[0..<index]), secret) }
        }
        // Somebody who knows the name cannot point it to an ID whose owner did not agree.
        let thief = SigningKey(&entropy)
        let plain = [1] + user.publicKey.bytes.bytes + thief.sign([1, 2, 3]).bytes.bytes
        let nonce: Bytes24 = entropy.bytes()
        var key = secret.pointerKey.bytes
        let forged =
            nonce.bytes
            + XChaChaPoly.seal(plain, key: SecretBytes(taking: &key), nonce: nonce, associated: secret.context)
        #expect(throws: RecordError.wrongSignature) { try NamePointer.open(forged, secret) }
        for round in 0..<2000 {
            let bytes = entropy.array(round % 200)
            #expect(throws: RecordError.self) { try NamePointer.open(bytes, secret) }
        }
    }

    // MARK: Another implementation

    private struct Case: Decodable {
        let name, serverSeed, server, userSeed, user, pointerNonce, label, pointerKey, pointer, blinded, record: String
        let released: String
        @Number var operations: UInt32
        @Number var memoryKiB: UInt32
        @Number var epoch: UInt64
        @Number var published: UInt64
        @Number var sequence: UInt64
    }

    private struct File: Decodable { let cases: [Case] }

    private static func key(_ hex: String) throws -> SigningKey {
        var seed = try #require(Hex.decode(hex))
        return try SigningKey(seed: SecretBytes(taking: &seed))
    }

    @Test("labels, pointers and records are the same as in the committed vectors")
    func vectors() throws {
        let cases = try Peer.vectors("name", as: File.self).cases
        #expect(cases.count == 3)
        for made in cases {
            let server = try NameTests.key(made.serverSeed)
            let user = try NameTests.key(made.userSeed)
            let cost = Argon2id(operations: made.operations, memoryKiB: made.memoryKiB)
            let secret = try NameSecret(name: made.name, server: server.publicKey, cost: cost)
            #expect(secret.label.hex == made.label)
            #expect(secret.pointerKey.hex == made.pointerKey)
            let nonce = try #require(Hex.decode(made.pointerNonce).flatMap { Bytes24($0) })
            let pointer = NamePointer.seal(user: user, secret, nonce: nonce)
            #expect(Hex.encode(pointer) == made.pointer)
            let record = try NameRecord.seal(
                label: secret.label, pointer: pointer, server: server, epoch: made.epoch, published: made.published)
            #expect(record.sequence == made.sequence)
            #expect(record.blindedKey.bytes.hex == made.blinded)
            #expect(Hex.encode(record.encode()) == made.record)
            guard case .user(let id) = try NameRecord.open(record, secret) else {
                Issue.record("a name that was given up")
                continue
            }
            #expect(id.key.bytes.hex == made.user)
            let released = try NameRecord.seal(
                label: secret.label, pointer: [], server: server, epoch: made.epoch, published: made.published + 1)
            #expect(Hex.encode(released.encode()) == made.released)
            #expect(try NameRecord.open(released, secret) == .released)
        }
        // The first is at the cost that everybody uses.
        #expect(cases.first?.operations == Argon2id.interactive.operations)
        #expect(cases.first?.memoryKiB == Argon2id.interactive.memoryKiB)
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("name").writesVectors()) }
}
