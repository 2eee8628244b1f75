import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

/// What a holder accepts, in which order it checks, and what it answers.
@Suite struct StoreTests {
    @Test("a record is stored by its holders alone and given out; hits and misses have one size")
    func putAndGet() throws {
        var network = try DirectoryNetwork.joined(seed: 1, 60)
        let publisher = Publisher(&network.entropy)
        let record = try publisher.record(network.now, entropy: &network.entropy)
        let holders = network.holders(record.blindedKey, epoch: record.epoch)
        #expect(holders.count == 20)
        for holder in holders {
            #expect(try network.ask(holder, .put(record: record.encode())) == .stored(sequence: 1))
            #expect(
                try network.ask(holder, .get(key: record.blindedKey, epoch: record.epoch)) == .record(record.encode()))
            #expect(try network.ask(holder, .get(key: record.blindedKey, epoch: record.epoch + 1)) == .missing)
        }
        let strangers = network.members.indices.filter { index in
            !Placement(nodes: network.nodes, epoch: record.epoch).isResponsible(
                Node.id(of: network.members[index].serverID), for: record.blindedKey)
        }
        #expect(!strangers.isEmpty)
        for stranger in strangers {
            #expect(try network.ask(stranger, .put(record: record.encode())) == .refused(.notResponsible))
        }
        let hit = DirectoryMessage.record(record.encode()).encode()
        #expect(hit.count == DirectoryMessage.missing.encode().count)
        #expect(hit.count <= 1086 && network.largest <= 1086)
    }

    @Test("a request of a later version is answered as unsupported, and the server that asked goes on with others")
    func unsupported() throws {
        var network = try DirectoryNetwork.joined(seed: 7, 3)
        network.members[0].core.configuration.highestRequest = DirectoryMessage.firstVersion
        #expect(try network.ask(0, .askShared(epoch: network.now.epoch)) == .refused(.unsupported))
        guard case .shared = try network.ask(1, .askShared(epoch: network.now.epoch)) else {
            Issue.record("the later version does not know its own request")
            return
        }
        var later = network.members[1]
        for kind in [DirectoryMessage.highestRequest + 1, 64] {
            let effects = try later.core.handle(
                .request(from: nil, token: 1, message: [kind, 1, 2, 3]), now: network.now, entropy: &network.entropy,
                store: &later.store)
            guard case .answer(1, let answer)? = effects.first else {
                Issue.record("no answer to kind \(kind)")
                return
            }
            #expect(try DirectoryMessage(decoding: answer) == .refused(.unsupported))
        }
        #expect(later.core.counters.unsupported == 2 && later.core.counters.malformed == 0)
        // Everything else they still do for each other.
        guard case .nodes = try network.ask(0, .ping) else {
            Issue.record("an earlier version is not understood")
            return
        }
    }

    @Test("what is cheap is checked first: size, epoch, responsibility, sequence, and the signature last")
    func order() throws {
        var network = try DirectoryNetwork.joined(seed: 2, 3)
        let publisher = Publisher(&network.entropy)
        let now = network.now
        let record = try publisher.record(now, sequence: 5, entropy: &network.entropy)
        func forged(_ record: DirectoryRecord) -> [UInt8] {
            var bytes = record.encode()
            bytes[bytes.count - 1] ^= 1
            return bytes
        }
        #expect(try network.ask(0, .put(record: [])) == .refused(.malformed))
        #expect(try network.ask(0, .put(record: Array(record.encode().dropLast()))) == .refused(.malformed))
        for epoch in [now.epoch - 2, now.epoch + 1, now.epoch + 2] {
            let wrong = try publisher.record(now, epoch: epoch, entropy: &network.entropy)
            #expect(try network.ask(0, .put(record: forged(wrong))) == .refused(.wrongEpoch))
        }
        #expect(try network.ask(0, .put(record: forged(record))) == .refused(.wrongSignature))
        #expect(network.members[0].core.counters.wrongSignature == 1)
        #expect(try network.ask(0, .put(record: record.encode())) == .stored(sequence: 5))
        #expect(try network.ask(0, .put(record: record.encode())) == .stored(sequence: 5))
        let older = try publisher.record(now, sequence: 4, entropy: &network.entropy)
        #expect(try network.ask(0, .put(record: forged(older))) == .refused(.notNewer))
        #expect(network.members[0].core.counters.wrongSignature == 1)
        let newer = try publisher.record(now, sequence: 6, entropy: &network.entropy)
        #expect(try network.ask(0, .put(record: newer.encode())) == .stored(sequence: 6))
        network.members[0].core.acceptsWrites = false
        let next = try publisher.record(now, sequence: 7, entropy: &network.entropy)
        #expect(try network.ask(0, .put(record: next.encode())) == .refused(.full))
    }

    @Test("cores that share what they have checked refuse a false record and an old one as others do")
    func shared() throws {
        var network = try DirectoryNetwork.joined(seed: 31, 3)
        let checked = CheckedSignatures()
        let nodes = network.nodes
        for index in network.members.indices {
            network.members[index].core.share(nodes, placements: [:], checked: checked)
        }
        let publisher = Publisher(&network.entropy)
        let record = try publisher.record(network.now, entropy: &network.entropy)
        var forged = record.encode()
        forged[forged.count - 1] ^= 1
        for index in 0..<3 { #expect(try network.ask(index, .put(record: forged)) == .refused(.wrongSignature)) }
        for index in 0..<2 { #expect(try network.ask(index, .put(record: record.encode())) == .stored(sequence: 1)) }
        #expect(try network.ask(2, .put(record: forged)) == .refused(.wrongSignature))
        network.now = Timestamp(seconds: record.expiry + 1)
        #expect(try network.ask(2, .put(record: record.encode())) == .refused(.expired))
    }

    @Test("of two records of one sequence the first stays, and the other is counted")
    func conflict() throws {
        var network = try DirectoryNetwork.joined(seed: 3, 3)
        let publisher = Publisher(&network.entropy)
        let first = try publisher.record(network.now, entropy: &network.entropy)
        let second = try publisher.record(network.now, entropy: &network.entropy)
        #expect(try network.ask(0, .put(record: first.encode())) == .stored(sequence: 1))
        #expect(try network.ask(0, .put(record: second.encode())) == .refused(.notNewer))
        #expect(
            try network.ask(0, .get(key: first.blindedKey, epoch: first.epoch)) == .record(first.encode()))
        #expect(network.members[0].core.counters.conflicting == 1)
        var forged = try publisher.record(network.now, entropy: &network.entropy).encode()
        forged[forged.count - 1] ^= 1
        #expect(try network.ask(0, .put(record: forged)) == .refused(.wrongSignature))
        #expect(network.members[0].core.counters.conflicting == 1)
    }

    @Test("a record is not given out after its expiry, and swept away; the next epoch's is taken before it begins")
    func expiry() throws {
        var network = try DirectoryNetwork.joined(seed: 4, 3)
        let publisher = Publisher(&network.entropy)
        let record = try publisher.record(network.now, entropy: &network.entropy)
        _ = try network.ask(0, .put(record: record.encode()))
        #expect(record.expiry == (record.epoch + 1) * 86_400 + 2 * 3600)
        network.now = Timestamp(seconds: record.expiry - 1)
        let get = DirectoryMessage.get(key: record.blindedKey, epoch: record.epoch)
        #expect(try network.ask(0, get) != .missing)
        network.now = network.now.adding(seconds: 1)
        #expect(try network.ask(0, get) == .missing)
        #expect(try network.ask(0, .put(record: record.encode())) == .refused(.expired))
        network.now = network.now.adding(seconds: 901)
        try network.handle(0, .wake)
        #expect(try DirectoryCore.recordCount(network.members[0].store) == 0)
        #expect(network.members[0].core.counters.expired == 1)

        network.now = Timestamp(seconds: (network.now.epoch + 1) * 86_400 - 3 * 3600)
        let early = try publisher.record(network.now, epoch: network.now.epoch + 1, entropy: &network.entropy)
        #expect(try network.ask(0, .put(record: early.encode())) == .stored(sequence: 1))
        #expect(early.blindedKey != record.blindedKey)
    }

    @Test("messages decode to what was encoded, and anything else is refused")
    func fuzz() throws {
        let seed: UInt64 = 5
        print("directory message fuzz seed \(seed)")
        var entropy = Entropy(seed: seed)
        let publisher = Publisher(&entropy)
        let record = try publisher.record(DirectoryNetwork.noon, entropy: &entropy).encode()
        let key = VerifyingKey(entropy.bytes())
        let contacts = (0..<6).map { index in
            Contact(
                serverID: VerifyingKey(entropy.bytes()),
                endpoint: Endpoint(
                    linkKey: X25519PublicKey(entropy.bytes()),
                    address: SocketAddress(v4: (127, 0, 0, 1), port: UInt16(index))))
        }
        let marks = (0..<DirectoryMessage.compareLimit).map { index in
            RecordMark(prefix: entropy.bytes(), sequence: UInt64(index))
        }
        let messages: [DirectoryMessage] = [
            .get(key: key, epoch: 1), .put(record: record), .findNode(target: entropy.bytes()),
            .findValue(key: key, epoch: 2, place: 0), .ping, .iterate(key: key, epoch: 3), .record(record), .missing,
            .stored(sequence: 4), .refused(.busy), .compare(marks), .lacking([Bool](repeating: true, count: 40)),
            .lacking([false, true, true]),
            .nodes(descriptor: entropy.array(DirectoryMessage.descriptorLimit), contacts),
        ]
        for message in messages {
            #expect(try DirectoryMessage(decoding: message.encode()) == message)
            #expect(message.encode().count <= 1086)
        }
        for _ in 0..<20_000 {
            var bytes = messages[entropy.below(messages.count)].encode()
            switch entropy.below(4) {
            case 0: bytes = Array(bytes.prefix(entropy.below(bytes.count)))
            case 1: bytes += entropy.array(1 + entropy.below(8))
            case 2: bytes[entropy.below(bytes.count)] ^= 1 << UInt8(entropy.below(8))
            default: bytes = [bytes[0]] + entropy.array(entropy.below(1200))
            }
            guard let message = try? DirectoryMessage(decoding: bytes) else { continue }
            #expect(try DirectoryMessage(decoding: message.encode()) == message)
        }
        var network = try DirectoryNetwork.joined(seed: 6, 2)
        for _ in 0..<2000 {
            let bytes = [UInt8(1 + network.entropy.below(70))] + network.entropy.array(network.entropy.below(200))
            try network.handle(0, .request(from: nil, token: 1, message: bytes))
            try network.handle(0, .answer(call: UInt64(network.entropy.below(40)), message: bytes))
        }
        let counters = network.members[0].core.counters
        #expect(counters.malformed + counters.unsupported > 1000)
    }
}
