import Primitives
import Testing
import Wire

@testable import Records

@Suite("A directory record") struct DirectoryRecordTests {
    private static let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)

    private static func record(
        _ user: borrowing SigningKey, epoch: UInt64 = 20_000, sequence: UInt64 = 5, _ entropy: inout Entropy
    ) throws -> (record: DirectoryRecord, body: RecordBody) {
        let sealing = X25519PrivateKey(&entropy)
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: sealing.publicKey,
            operational: operational.publicKey, operationalExpiry: noon.seconds + 1000, policy: 1, prekeys: Bytes32(),
            user: user)
        let record = try DirectoryRecord.seal(
            body: body, user: user, epoch: epoch, sequence: sequence, entropy: &entropy)
        return (record, body)
    }

    @Test("is verified by everybody, and opened by whoever knows the ID")
    func roundTrip() throws {
        var entropy = Entropy(seed: 1)
        let user = SigningKey(&entropy)
        let (record, body) = try DirectoryRecordTests.record(user, &entropy)
        let bytes = record.encode()
        #expect(bytes.count == DirectoryRecord.size)
        let decoded = try DirectoryRecord(decoding: bytes)
        #expect(decoded == record)
        try decoded.verify(at: DirectoryRecordTests.noon)
        let id = NetworkID(key: user.publicKey)
        let own = try BlindedID(id, epoch: 20_000)
        #expect(try decoded.open(by: own, at: DirectoryRecordTests.noon) == body)
        #expect(own.key == record.blindedKey)
        let stranger = try BlindedID(NetworkID(key: SigningKey(&entropy).publicKey), epoch: 20_000)
        #expect(throws: RecordError.invalidKey) { try decoded.open(by: stranger, at: DirectoryRecordTests.noon) }
        let later = try BlindedID(id, epoch: 20_001)
        #expect(later.key != own.key)
        #expect(throws: RecordError.invalidKey) { try decoded.open(by: later, at: DirectoryRecordTests.noon) }
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

    /// The fields of a record as a holder sees them.
    static let fields: [(name: String, range: Range<Int>)] = [
        ("version", 0..<1), ("epoch", 1..<9), ("sequence", 9..<17), ("key", 17..<49), ("nonce", 49..<73),
        ("ciphertext", 73..<585), ("signature", 585..<649),
    ]

    /// Holds the records of two days of one key against each other and against those of somebody else.
    /// - Parameters:
    ///   - records: of one key, of two days, published in the same second.
    ///   - others: of another key, of the same days and the same second.
    static func expectUnlinkable(_ records: [DirectoryRecord], _ others: [DirectoryRecord]) {
        let (first, second) = (records[0].encode(), records[1].encode())
        #expect(first.count == second.count && fields.last?.range.upperBound == first.count)
        for (name, range) in fields where name != "version" {
            #expect(first[range] != second[range], "\(name)")
        }
        // What everybody says alike tells nobody apart.
        for (name, range) in fields where name == "version" || name == "epoch" {
            for (record, other) in zip(records, others) {
                #expect(record.encode()[range] == other.encode()[range], "\(name)")
            }
        }
        // Nothing else is shared, wherever it stands: four equal bytes come about once in 10,000 such pairs.
        let words = { (bytes: [UInt8]) in
            Set((9...bytes.count - 4).map { bytes[$0..<$0 + 4].map { $0 } })
        }
        #expect(words(first).isDisjoint(with: words(second)))
        // Nor is their difference the one between the days, or between the seconds of publication.
        let distance = records[1].sequence &- records[0].sequence
        #expect(distance != others[1].sequence &- others[0].sequence)
        for record in records { #expect(record.sequence > 1 << 40) }
    }

    @Test("of two days has no field in common with the other but the version, which all have")
    func unlinkable() throws {
        let seed: UInt64 = 3
        print("seed \(seed)")
        var entropy = Entropy(seed: seed)
        let published = DirectoryRecordTests.noon.seconds
        var all: [[DirectoryRecord]] = []
        for homes in 1...2 as ClosedRange<UInt64> {
            let user = SigningKey(&entropy)
            let body = RecordBody(
                home: entropy.bytes(), account: entropy.bytes(),
                second: homes == 1 ? nil : .init(node: entropy.bytes(), account: entropy.bytes()),
                serial: homes - 1, sealing: X25519PrivateKey(&entropy).publicKey,
                operational: SigningKey(&entropy).publicKey, operationalExpiry: published + 1000, policy: 1,
                prekeys: Bytes32(), user: user)
            var records: [DirectoryRecord] = []
            for epoch in [20_000, 20_001] as [UInt64] {
                let sequence = SequenceBase(user: user.publicKey, epoch: epoch).sequence(at: published)
                records.append(
                    try DirectoryRecord.seal(
                        body: body, user: user, epoch: epoch, sequence: sequence, entropy: &entropy))
            }
            all.append(records)
        }
        DirectoryRecordTests.expectUnlinkable(all[0], all[1])
        DirectoryRecordTests.expectUnlinkable(all[1], all[0])
    }

    @Test("of any epoch and sequence is judged without overflow, and is believed until two hours after its epoch")
    func extremes() throws {
        var entropy = Entropy(seed: 4)
        let user = SigningKey(&entropy)
        for epoch in [0, 1, 19_998, 20_002, UInt64.max - 1, UInt64.max] {
            let record = try DirectoryRecordTests.record(user, epoch: epoch, &entropy).record
            #expect(throws: RecordError.wrongEpoch(epoch)) { try record.verify(at: DirectoryRecordTests.noon) }
        }
        let last = try DirectoryRecordTests.record(user, epoch: 19_999, &entropy).record
        let end = UInt64(20_000) * 86_400 + DirectoryRecord.grace
        #expect(last.expiry == end && DirectoryRecord.expiry(ofEpoch: .max) == .max)
        try last.verify(at: Timestamp(seconds: end - 1))
        #expect(throws: RecordError.expired) { try last.verify(at: Timestamp(seconds: end)) }
        let highest = try DirectoryRecordTests.record(user, sequence: .max, &entropy).record
        try highest.verify(at: DirectoryRecordTests.noon)
        for base in [SequenceBase(user: user.publicKey, epoch: 1), SequenceBase(label: Bytes32(), epoch: .max)] {
            #expect(base.sequence(at: .max) == .max)
            #expect(base.seconds(of: 0) == 0)
            #expect(base.seconds(of: base.sequence(at: 1_800_000_000)) == 1_800_000_000)
        }
    }

    @Test("names up to two homes and a serial, and the certificate covers them")
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
                body: made, user: user, epoch: 20_000, sequence: 1, entropy: &entropy)
            let reader = try BlindedID(NetworkID(key: user.publicKey), epoch: record.epoch)
            #expect(try record.open(by: reader, at: Timestamp(seconds: 8)) == made)
            #expect(throws: RecordError.wrongCertificate) { try record.open(by: reader, at: Timestamp(seconds: 9)) }
            var bytes = made.encode()
            for index in bytes.indices where index > 0 {
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
        let plain = body(nil, 1, &entropy).encode()
        #expect(throws: WireError.unknownKind(2)) { try RecordBody(decoding: [2] + plain.dropFirst()) }
    }

    @Test("of the next day is taken four hours before it begins")
    func nextEpoch() throws {
        var entropy = Entropy(seed: 5)
        let user = SigningKey(&entropy)
        let midnight = UInt64(20_001) * 86_400
        let record = try DirectoryRecordTests.record(user, epoch: 20_001, &entropy).record
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
        #expect(try UserLink(text: "HULDA:" + id.text.uppercased()).id == id)
        #expect(try UserLink(text: "Hulda:" + id.text + "?n=%5a").name == "Z")
        #expect(throws: NetworkIDError.text(.mixedCase)) {
            try UserLink(text: "hulda:H" + id.text.dropFirst())
        }
    }

    @Test("what stands in a link and is no token or name is refused, with its place")
    func wrongLinks() throws {
        var entropy = Entropy(seed: 8)
        let bare = "hulda:" + NetworkID(key: SigningKey(&entropy).publicKey).text
        let end = bare.utf8.count
        for (wrong, place) in [
            ("?", 1), ("?t", 1), ("?x=1", 1), ("?n=a&x=1", 5), ("?n=a&", 5), ("?n=a&n=b", 5), ("?%%%=&&&==#frag", 1),
            ("?n=%zz", 3), ("?n=ab%e", 5), ("?n=a b", 4), ("?n=a#frag", 4), ("?n=%ff", 3),
            ("?t=" + String(repeating: "a", count: 129), 3),
        ] {
            let error = #expect(throws: NetworkIDError.self) { try UserLink(text: bare + wrong) }
            guard case .link(_, let position) = error else {
                Issue.record("\(wrong): \(String(describing: error))")
                continue
            }
            #expect(position == end + place, "\(wrong)")
        }
        #expect(throws: NetworkIDError.self) { try UserLink(text: bare + "#frag") }
        #expect(throws: NetworkIDError.self) { try UserLink(text: bare + String(repeating: "x", count: 5000)) }
    }
}
