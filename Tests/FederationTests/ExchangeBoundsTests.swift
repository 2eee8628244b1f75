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
}
