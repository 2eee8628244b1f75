import Primitives
import Testing
import Wire

@testable import Records

@Suite("A directory record") struct DirectoryRecordTests {
    private static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    private static func record(
        _ user: borrowing SigningKey, epoch: UInt64 = 20_000, sequence: UInt64 = 5,
        expiry: UInt64 = noon.seconds + 3600, _ entropy: inout Entropy
    ) throws -> (record: DirectoryRecord, body: RecordBody) {
        let sealing = X25519PrivateKey(&entropy)
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: sealing.publicKey,
            operational: operational.publicKey, operationalExpiry: expiry + 1000, policy: 1, prekeys: Bytes32(),
            user: user)
        let record = try DirectoryRecord.seal(
            body: body, user: user, epoch: epoch, sequence: sequence, expiry: expiry, entropy: &entropy)
        return (record, body)
    }

    @Test("is verified by everybody, and opened by whoever knows the ID")
    func roundTrip() throws {
        var entropy = Entropy(seed: 1)
        let user = SigningKey(&entropy)
        let (record, body) = try DirectoryRecordTests.record(user, &entropy)
        let bytes = record.encode()
        #expect(bytes.count <= Limits.recordSize)
        let decoded = try DirectoryRecord(decoding: bytes)
        #expect(decoded == record)
        try decoded.verify(at: DirectoryRecordTests.noon)
        let id = NetworkID(key: user.publicKey)
        let own = try BlindedID(id, epoch: 20_000)
        #expect(try decoded.open(by: own) == body)
        #expect(own.key == record.blindedKey)
        let stranger = try BlindedID(NetworkID(key: SigningKey(&entropy).publicKey), epoch: 20_000)
        #expect(throws: RecordError.invalidKey) { try decoded.open(by: stranger) }
        let later = try BlindedID(id, epoch: 20_001)
        #expect(later.key != own.key)
        #expect(throws: RecordError.invalidKey) { try decoded.open(by: later) }
    }

    @Test("with any bit flipped does not verify")
    func bitFlips() throws {
        var entropy = Entropy(seed: 2)
        let user = SigningKey(&entropy)
        let bytes = try DirectoryRecordTests.record(user, &entropy).record.encode()
        var accepted: [Int] = []
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            do throws(RecordError) {
                try DirectoryRecord(decoding: changed).verify(at: DirectoryRecordTests.noon)
                accepted.append(bit)
            } catch {}
        }
        #expect(accepted.isEmpty)
        for size in 0..<bytes.count {
            #expect(throws: RecordError.self) { try DirectoryRecord(decoding: Array(bytes[0..<size])) }
        }
    }

    @Test("of two days has nothing in common but version, size and policy of the format")
    func unlinkable() throws {
        var entropy = Entropy(seed: 3)
        let user = SigningKey(&entropy)
        let (first, body) = try DirectoryRecordTests.record(user, &entropy)
        let second = try DirectoryRecord.seal(
            body: body, user: user, epoch: 20_001, sequence: 5, expiry: first.expiry, entropy: &entropy)
        #expect(first.blindedKey != second.blindedKey)
        let pairs = zip(first.encode()[33...], second.encode()[33...])
        // Of independent bytes one in 256 is equal.
        #expect(pairs.count { $0 == $1 } < 20)
    }

    @Test("of any epoch, sequence and expiry is judged without overflow")
    func extremes() throws {
        var entropy = Entropy(seed: 4)
        let user = SigningKey(&entropy)
        for epoch in [0, 1, 19_998, 20_002, UInt64.max - 1, UInt64.max] {
            let record = try DirectoryRecordTests.record(user, epoch: epoch, &entropy).record
            #expect(throws: RecordError.wrongEpoch(epoch)) { try record.verify(at: DirectoryRecordTests.noon) }
        }
        let endless = try DirectoryRecordTests.record(user, expiry: UInt64.max - 2000, &entropy).record
        #expect(throws: RecordError.lastsTooLong) { try endless.verify(at: DirectoryRecordTests.noon) }
        let over = try DirectoryRecordTests.record(user, expiry: DirectoryRecordTests.noon.seconds, &entropy).record
        #expect(throws: RecordError.expired) { try over.verify(at: DirectoryRecordTests.noon) }
        let last = try DirectoryRecordTests.record(user, sequence: .max, &entropy).record
        try last.verify(at: DirectoryRecordTests.noon)
    }

    @Test("names two homes and a serial; the certificate covers them, and the first version says what it can")
    func twoHomes() throws {
        var entropy = Entropy(seed: 9)
        let user = SigningKey(&entropy)
        let keys = (X25519PrivateKey(&entropy).publicKey, SigningKey(&entropy).publicKey)
        func body(_ second: RecordBody.Home?, _ serial: UInt64, _ entropy: inout Entropy) -> RecordBody {
            RecordBody(
                home: entropy.bytes(), account: entropy.bytes(), second: second, serial: serial, sealing: keys.0,
                operational: keys.1, operationalExpiry: 9, policy: 1, prekeys: Bytes32(), user: user)
        }
        let other = RecordBody.Home(node: entropy.bytes(), account: entropy.bytes())
        for (second, serial) in [(nil, 0), (other, 0), (nil, 3), (other, UInt64.max)] as [(RecordBody.Home?, UInt64)] {
            let made = body(second, serial, &entropy)
            let record = try DirectoryRecord.seal(
                body: made, user: user, epoch: 20_000, sequence: 1, expiry: 10, entropy: &entropy)
            #expect(try record.open(by: BlindedID(NetworkID(key: user.publicKey), epoch: record.epoch)) == made)
            #expect(made.encode().first == (second == nil && serial == 0 ? 1 : 2))
            // Readers of the first version refuse the second by its first byte, before anything else.
            var bytes = made.encode()
            for index in bytes.indices.prefix(bytes.count - 33) where index > 0 && serial > 0 {
                bytes[index] ^= 1
                if let changed = try? RecordBody(decoding: bytes) {
                    #expect(!changed.isCertified(by: user.publicKey), "byte \(index)")
                }
                bytes[index] ^= 1
            }
            if second != nil {
                bytes[9] = 3
                #expect(throws: WireError.outOfRange(field: "homes")) { try RecordBody(decoding: bytes) }
                bytes[9] = 2
                bytes.replaceSubrange(58..<90, with: bytes[10..<42])
                #expect(throws: WireError.outOfRange(field: "homes")) { try RecordBody(decoding: bytes) }
            }
        }
        var early = body(nil, 1, &entropy).encode()
        early[1] = 0
        #expect(throws: WireError.outOfRange(field: "version")) { try RecordBody(decoding: early) }
        #expect(throws: WireError.unknownKind(3)) { try RecordBody(decoding: [3] + early.dropFirst()) }
    }

    @Test("of the next day is taken four hours before it begins")
    func nextEpoch() throws {
        var entropy = Entropy(seed: 5)
        let user = SigningKey(&entropy)
        let midnight = UInt64(20_001) * 86_400
        let record = try DirectoryRecordTests.record(user, epoch: 20_001, expiry: midnight + 3600, &entropy).record
        #expect(throws: RecordError.wrongEpoch(20_001)) {
            try record.verify(at: Timestamp(seconds: midnight - 4 * 3600 - 1))
        }
        try record.verify(at: Timestamp(seconds: midnight - 4 * 3600))
    }

    @Test("made of random bytes is refused, never a crash")
    func fuzz() {
        let seed: UInt64 = 6
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        for round in 0..<20_000 {
            var bytes = entropy.array(entropy.below(1100))
            if let first = bytes.indices.first, round % 2 == 0 { bytes[first] = 1 }
            if let record = try? DirectoryRecord(decoding: bytes) {
                #expect(throws: RecordError.self) { try record.verify(at: DirectoryRecordTests.noon) }
            }
        }
    }
}

@Suite("A network ID") struct NetworkIDTests {
    @Test("is found in its text again, and every wrong character is noticed")
    func typing() throws {
        var entropy = Entropy(seed: 7)
        let id = NetworkID(key: SigningKey(&entropy).publicKey)
        #expect(try NetworkID(text: id.text) == id)
        #expect(try NetworkID(text: id.text.uppercased()) == id)
        let characters = Array(id.text)
        for position in 6..<characters.count {
            for other in "qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1" where other != characters[position] {
                var changed = characters
                changed[position] = other
                #expect(throws: NetworkIDError.self) { try NetworkID(text: String(changed)) }
            }
        }
    }

    @Test("of an unknown version or another length is refused")
    func versions() throws {
        let key = [UInt8](repeating: 9, count: 32)
        #expect(throws: NetworkIDError.unknownVersion(2)) {
            try NetworkID(text: Bech32m.encode(prefix: "hulda", [2] + key))
        }
        #expect(throws: NetworkIDError.wrongLength(32)) { try NetworkID(text: Bech32m.encode(prefix: "hulda", key)) }
        #expect(throws: NetworkIDError.self) { try NetworkID(text: Bech32m.encode(prefix: "tb", [1] + key)) }
        #expect(throws: NetworkIDError.self) { try NetworkID(text: "") }
    }

    @Test("travels in a link with token and name")
    func links() throws {
        var entropy = Entropy(seed: 8)
        let id = NetworkID(key: SigningKey(&entropy).publicKey)
        let link = UserLink(id: id, token: "a b&c=d?%", name: "Zoë ⟂")
        #expect(try UserLink(text: link.text) == link)
        #expect(try UserLink(text: id.text) == UserLink(id: id, token: nil, name: nil))
        #expect(try UserLink(text: link.text + "&x=1") == link)
        for wrong in ["?t", "?n=%zz", "?n=%e", "?t=" + String(repeating: "a", count: 129)] {
            #expect(throws: NetworkIDError.self) { try UserLink(text: "hulda:" + id.text + wrong) }
        }
    }
}
