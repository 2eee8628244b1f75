import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Federation

@Suite("Coded symbols")
struct CodedSymbolTests {
    private func digests(_ count: Int, _ entropy: inout Entropy) -> [MapDigest] {
        (0..<count).map { _ in MapDigest(id: entropy.bytes(), sequence: entropy.uint64()) }
    }

    private func sketch(_ digests: [MapDigest], _ key: SketchKey, _ count: Int) -> Sketch {
        var sketch = Sketch(key: key, count: count)
        for digest in digests { sketch.toggle(digest) }
        return sketch
    }

    private func difference(_ one: Sketch, _ other: Sketch) -> [CodedSymbol] {
        zip(one.symbols, other.symbols).map { CodedSymbol(sum: $0.sum ^ $1.sum, check: $0.check ^ $1.check) }
    }

    @Test("name exactly what two sets differ in, whichever side it is on, however much they share")
    func decoding() throws {
        var entropy = Entropy(seed: 200)
        let shared = digests(2000, &entropy)
        for size in [0, 1, 2, 3, 10, 50, 100] {
            let key = SketchKey(entropy.bytes())
            let left = digests(size / 2, &entropy)
            let right = digests(size - size / 2, &entropy)
            let cells = difference(
                sketch(shared + left, key, ExchangeMessage.symbolsPerMessage),
                sketch(right + shared, key, ExchangeMessage.symbolsPerMessage))
            let names = try #require(Sketch.decode(cells), "\(size) differences")
            #expect(names == Set((left + right).map { key.name($0) }))
        }
    }

    @Test("are in proportion to the difference: 1.25 to 1.75 for each of hundreds, and fewer do not decode")
    func proportion() throws {
        var entropy = Entropy(seed: 201)
        for size in [200, 500, 1000] {
            var needed = 0
            let trials = 5
            for _ in 0..<trials {
                let key = SketchKey(entropy.bytes())
                let cells = sketch(digests(size, &entropy), key, 2 * size).symbols
                var low = size / 2
                #expect(Sketch.decode(Array(cells[..<low])) == nil)
                while Sketch.decode(Array(cells[..<low])) == nil, low < cells.count { low += size / 50 }
                needed += low
            }
            let overhead = Double(needed) / Double(trials * size)
            #expect((1.25...1.75).contains(overhead), "\(size): \(overhead)")
        }
    }

    @Test("kept up to date are those of the set computed anew")
    func incremental() {
        var entropy = Entropy(seed: 202)
        let key = SketchKey(entropy.bytes())
        let before = digests(300, &entropy)
        let after = Array(before[100...]) + digests(50, &entropy)
        var kept = sketch(before, key, 400)
        for digest in before[..<100] { kept.toggle(digest) }
        for digest in after[200...] { kept.toggle(digest) }
        #expect(kept.symbols == sketch(after, key, 400).symbols)
    }

    @Test("of strangers decode to no more than their own number, or not at all, and always end")
    func hostile() {
        var entropy = Entropy(seed: 203)
        for round in 0..<400 {
            let count = 1 + entropy.below(ExchangeMessage.symbolsPerMessage)
            var cells = (0..<count).map { _ in
                // Each looks like an element of its own, most of which cannot be where they are.
                let name = entropy.uint64()
                return CodedSymbol(sum: name, check: CodedSymbol.check(name))
            }
            if round % 2 == 0 { cells[0] = CodedSymbol(sum: entropy.uint64(), check: 1) }
            #expect((Sketch.decode(cells)?.count ?? 0) <= count)
        }
        // One element in a cell where it does not belong.
        var name = entropy.uint64()
        while Array(SymbolPlaces.all(name, below: 8)).contains(5) { name = entropy.uint64() }
        var cells = [CodedSymbol](repeating: CodedSymbol(), count: 8)
        cells[5] = CodedSymbol(sum: name, check: CodedSymbol.check(name))
        #expect(Sketch.decode(cells) == nil)
    }
}

extension SymbolPlaces {
    /// All cells below `count` of a name.
    fileprivate static func all(_ name: UInt64, below count: UInt64) -> [UInt64] {
        var places = SymbolPlaces(name)
        var all: [UInt64] = []
        while places.place < count {
            all.append(places.place)
            places.advance()
        }
        return all
    }
}

/// specs/vectors/reconcile.json, written by Tests/Peers/reconcile.py.
private struct Vectors: Decodable {
    struct Cells: Decodable { let one, other, difference: String }
    struct Renewal: Decodable { let older, newer, renewal: String }
    struct Speakers: Decodable {
        let value, cluster, rank: String
        @Number var epoch: UInt64
    }
    let salts, digests, names: [String]
    let key, hello, sketch, more, parcel: String
    let places: [[Number<UInt64>]]
    @Number var oneEnd: Int
    @Number var otherStart: Int
    let cells: Cells
    let renewal: Renewal
    let speakers: Speakers

    static func read() throws -> Vectors { try Peer.vectors("reconcile") }
}

@Suite("Reconciliation of another implementation")
struct ReconcileVectorTests {
    private func bytes(_ text: String) throws -> [UInt8] { try #require(Hex.decode(text)) }

    private func digest(_ text: String) throws -> MapDigest {
        var reader = Reader(try bytes(text))
        return MapDigest(id: try reader.fixed(), sequence: try reader.uint64())
    }

    private func encoded(_ cells: [CodedSymbol]) -> String {
        var writer = Writer()
        for cell in cells {
            writer.uint64(cell.sum)
            writer.uint32(cell.check)
        }
        return Hex.encode(writer.bytes)
    }

    @Test("writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("reconcile").writesVectors()) }

    @Test("has our link key, names, places and cells, and its difference decodes")
    func cells() throws {
        let vectors = try Vectors.read()
        let salts = try vectors.salts.map { try #require(Bytes16(try bytes($0))) }
        let key = SketchKey(salts[0], salts[1])
        #expect(key.bytes.hex == vectors.key)
        #expect(SketchKey(salts[1], salts[0]) == key)
        let names = try vectors.digests.map { key.name(try digest($0)) }
        #expect(names.map { Hex.encode(withUnsafeBytes(of: $0.littleEndian) { Array($0) }) } == vectors.names)
        for (name, places) in zip(names, vectors.places) {
            #expect(SymbolPlaces.all(name, below: 2000) == places.map(\.wrappedValue))
        }
        var one = Sketch(key: key, count: 100)
        for name in names[..<vectors.oneEnd] { one.toggle(name: name) }
        var other = Sketch(key: key, count: 100)
        for name in names[vectors.otherStart...] { other.toggle(name: name) }
        #expect(encoded(one.symbols) == vectors.cells.one)
        #expect(encoded(other.symbols) == vectors.cells.other)
        let difference = zip(one.symbols, other.symbols).map {
            CodedSymbol(sum: $0.sum ^ $1.sum, check: $0.check ^ $1.check)
        }
        #expect(encoded(difference) == vectors.cells.difference)
        #expect(
            Sketch.decode(difference) == Set(names[..<vectors.otherStart] + names[vectors.oneEnd...]))
        let sketch = ExchangeMessage.sketch(
            first: 0, held: vectors.oneEnd, whole: one.symbols[0].sum, one.symbols)
        #expect(Hex.encode(sketch.encode()) == vectors.sketch)
        let hello = ExchangeMessage.hello(lowest: 1, highest: 2, salt: salts[0], clock: 1_800_000_000)
        #expect(Hex.encode(hello.encode()) == vectors.hello)
        #expect(Hex.encode(ExchangeMessage.more(first: 100, count: 100).encode()) == vectors.more)
    }

    @Test("makes the same renewal of the same descriptors, and the same parcel")
    func renewal() throws {
        let vectors = try Vectors.read()
        let older = try ServerDescriptor(decoding: bytes(vectors.renewal.older))
        let newer = try ServerDescriptor(decoding: bytes(vectors.renewal.newer))
        let renewal = try #require(Renewal(newer, id: MapDescriptor.server(newer).id))
        #expect(Hex.encode(renewal.encode()) == vectors.renewal.renewal)
        #expect(try Renewal(decoding: bytes(vectors.renewal.renewal)) == renewal)
        #expect(renewal.renewed(older) == newer.encode())
        guard case .parcel(let body) = try ExchangeMessage(decoding: bytes(vectors.parcel)) else {
            Issue.record("not a parcel")
            return
        }
        let first = try digest(vectors.digests[0])
        let names = try vectors.names[..<1].map { text in
            var reader = Reader(try bytes(text))
            return try reader.uint64()
        }
        #expect(
            try ParcelItem.decode(body) == [
                .descriptor(older.encode()), .renewal(renewal.encode()), .ask([names[0]]), .whole([first.id]),
                .offer([first]), .unknown(99),
            ])
    }

    @Test("ranks a cluster the same among those that may speak")
    func speakers() throws {
        let vectors = try Vectors.read().speakers
        let cluster = VerifyingKey(try #require(Bytes32(try bytes(vectors.cluster))))
        let value = try #require(Bytes32(try bytes(vectors.value)))
        #expect(SpeakerList.rank(vectors.epoch, value, cluster).hex == vectors.rank)
    }
}
