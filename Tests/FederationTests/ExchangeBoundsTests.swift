import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Federation

@Suite("What comparisons may cost a map")
struct ExchangeBoundsTests {
    /// A map of twenty servers with links of both kinds that have greeted.
    final class Host {
        var core: MapCore
        var store = MemoryStore()
        var entropy = Entropy(seed: 231)
        var now = MapNetwork.start

        init(_ configuration: MapConfiguration = MapConfiguration()) throws {
            var configuration = configuration
            configuration.smallMap = 0
            let cluster = TestCluster(0)
            core = try MapCore(
                configuration: configuration, admission: Admission(roots: [cluster.id]), now: MapNetwork.start,
                store: MemoryStore())
            for number in 0..<20 { _ = try core.publish(cluster.server(number).encode(), now: now, store: &store) }
            _ = try core.handle(.wake, now: now, entropy: &entropy, store: &store)
        }

        /// - Returns: the messages that come over the link, decoded.
        @discardableResult
        func hear(_ message: ExchangeMessage, _ link: UInt64) throws -> [ExchangeMessage] {
            let effects = try core.handle(
                .message(link: link, message.encode()), now: now, entropy: &entropy, store: &store)
            return effects.compactMap {
                guard case .send(link, let bytes) = $0 else { return nil }
                return try? ExchangeMessage(decoding: bytes)
            }
        }

        func greet(_ link: UInt64, isAgent: Bool) throws {
            _ = try core.handle(
                .linkUp(link: link, peer: isAgent ? nil : Bytes32()), now: now, entropy: &entropy, store: &store)
            try hear(.hello(lowest: 1, highest: 2, salt: entropy.bytes()), link)
        }

        /// Cells that do not decode.
        func noise() -> ExchangeMessage {
            let count = ExchangeMessage.symbolsPerMessage
            let cells = (0..<count).map { _ in CodedSymbol(sum: entropy.uint64(), check: 7) }
            return .sketch(first: 0, held: 20, whole: 1, cells)
        }

        /// The cells of a map that has one descriptor more, of another name each time.
        func difference(_ link: UInt64) throws -> ExchangeMessage {
            let key = try #require(core.peers[link]?.key)
            var sketch = Sketch(key: key, count: ExchangeMessage.symbolsPerMessage)
            core.held.visit { sketch.toggle($0) }
            sketch.toggle(MapDigest(id: entropy.bytes(), sequence: 1))
            return .sketch(first: 0, held: 21, whole: sketch.symbols[0].sum, sketch.symbols)
        }
    }

    @Test("agents hold no more than half of the places for long comparisons: servers find the others")
    func longComparisons() throws {
        let host = try Host()
        func long(_ links: Range<UInt64>, isAgent: Bool, _ host: Host) throws -> Int {
            var taken = 0
            for link in links {
                try host.greet(link, isAgent: isAgent)
                for case .more in try host.hear(host.noise(), link) { taken += 1 }
            }
            return taken
        }
        #expect(try long(1..<21, isAgent: true, host) == 8)
        #expect(try long(21..<41, isAgent: false, host) == 8)
    }

    @Test("what takes a pass over the map is done 32 times for a link in an interval, and anew in the next")
    func passes() throws {
        let host = try Host()
        try host.greet(1, isAgent: false)
        func answers() throws -> Int {
            var answers = 0
            for _ in 0..<60 {
                for case .parcel in try host.hear(host.difference(1), 1) { answers += 1 }
            }
            return answers
        }
        // One pass made the first cells.
        #expect(try answers() == 31)
        #expect(host.core.counters.flooded == 29)
        host.now = host.now.adding(seconds: 10)
        _ = try host.core.handle(.wake, now: host.now, entropy: &host.entropy, store: &host.store)
        #expect(try answers() == 32)
    }

    @Test("all links together cost a bounded number of passes, agents half of it, whatever they ask")
    func allTogether() throws {
        var configuration = MapConfiguration()
        configuration.passLimit = 20 * 21
        let host = try Host(configuration)
        for link in UInt64(1)...8 { try host.greet(link, isAgent: link <= 4) }
        func count(_ links: ClosedRange<UInt64>, _ message: ExchangeMessage) throws -> Int {
            var answered = 0
            for link in links {
                for _ in 0..<4 where !(try host.hear(message, link).isEmpty) { answered += 1 }
            }
            return answered
        }
        // All agents have one sketch.
        let long = ExchangeMessage.more(first: 215, count: 215)
        #expect(try count(1...4, long) == 10)
        #expect(try count(5...8, long) == 10)
        #expect(try count(5...8, .walk) == 0)
        host.now = host.now.adding(seconds: 10)
        _ = try host.core.handle(.wake, now: host.now, entropy: &host.entropy, store: &host.store)
        #expect(try count(5...8, long) > 0)
    }

    @Test("names for which there is no room are counted: of statements, of offers, and of what was of no use")
    func surplus() throws {
        let host = try Host()
        for link in UInt64(1)...2 { try host.greet(link, isAgent: false) }
        for part in 0..<5 {
            let names = (0..<300).map { UInt64(300 * part + $0) }
            for link in UInt64(1)...2 {
                let have = CapacityMessage.have(names).encode()
                _ = try host.core.handle(
                    .message(link: link, have), now: host.now, entropy: &host.entropy, store: &host.store)
            }
        }
        // The first was asked for all; of what the second has 1024 are kept.
        #expect(host.core.capacity.links[2]?.offers.count == 1024)
        #expect(host.core.counters.surplus == 1500 - 1024)
        host.core.counters.surplus = 0
        var peer = try #require(host.core.peers[1])
        var kept = (offers: 0, useless: 0)
        for number in UInt64(0)..<7000 {
            if peer.offers(MapDigest(id: host.entropy.bytes(), sequence: number)) { kept.offers += 1 }
            if peer.noteUseless(number, host.now) { kept.useless += 1 }
        }
        #expect(kept == (6880, 4096))
        host.core.peers[1] = peer
        var packer = ParcelPacker()
        packer.add([MapDigest(id: host.entropy.bytes(), sequence: 1)]) { .offer($0) }
        try host.hear(.parcel(packer.parcels[0]), 1)
        #expect(host.core.counters.surplus == 1)
    }

    @Test("names that are offered are noted beyond what a message of cells finds for sixteen links at a time")
    func manyOffers() throws {
        let host = try Host()
        for link in UInt64(1)...20 {
            try host.greet(link, isAgent: false)
            let digests = (0..<640 as Range<UInt64>).map { MapDigest(id: host.entropy.bytes(), sequence: $0) }
            var packer = ParcelPacker()
            packer.add(digests) { .offer($0) }
            for parcel in packer.parcels { try host.hear(.parcel(parcel), link) }
        }
        let noted = (UInt64(1)...20).map { host.core.peers[$0]?.offered.count ?? 0 }
        #expect(noted.count { $0 == 640 } == MapCore.longExchanges)
        #expect(noted.count { $0 == ExchangeMessage.symbolsPerMessage } == 4)
    }

    @Test("whoever offers statements that are not there keeps nobody else's away")
    func emptyOffers() throws {
        var configuration = MapConfiguration()
        configuration.capacity = 100
        let host = try Host(configuration)
        for link in UInt64(1)...2 { try host.greet(link, isAgent: false) }
        func wanted(_ names: [UInt64], _ link: UInt64) throws -> [UInt64] {
            let have = CapacityMessage.have(names).encode()
            let effects = try host.core.handle(
                .message(link: link, have), now: host.now, entropy: &host.entropy, store: &host.store)
            return effects.flatMap { effect -> [UInt64] in
                guard case .send(link, let bytes) = effect,
                    case .want(let names)? = try? CapacityMessage(decoding: bytes)
                else { return [] }
                return names
            }
        }
        #expect(try wanted(Array(0..<300), 1).count == 300)
        #expect(try wanted(Array(1000..<1010), 2) == Array(1000..<1010))
        #expect(host.core.capacity.asked.count == 300)
    }

    @Test("summaries, whose answer takes an index of the whole map, count among the passes")
    func summaries() throws {
        var configuration = MapConfiguration()
        configuration.passLimit = 5 * 21
        configuration.highestVersion = 1
        let host = try Host(configuration)
        var answered = 0
        for link in UInt64(1)...4 {
            _ = try host.core.handle(
                .linkUp(link: link, peer: Bytes32()), now: host.now, entropy: &host.entropy, store: &host.store)
            for _ in 0..<4 {
                let summary = MapMessage.summary(
                    salt: 1, checksums: [UInt64](repeating: 1, count: MapMessage.bucketCount))
                let effects = try host.core.handle(
                    .message(link: link, summary.encode()), now: host.now, entropy: &host.entropy, store: &host.store)
                answered += effects.isEmpty ? 0 : 1
            }
        }
        #expect(answered == 5)
        #expect(host.core.counters.flooded == 11)
    }
}
