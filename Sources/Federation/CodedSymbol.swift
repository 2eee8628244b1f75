import Primitives
import Wire

/// A cell of a rateless invertible Bloom lookup table (Yang, Gilad and Alizadeh, SIGCOMM 2024): the exclusive or of the
/// short names that fall into it, and of their checks.
///
/// The paper's cells count their elements too. A count tells whose an element is; here each side knows what it holds
/// itself, so the check alone decides whether a cell has exactly one element (specs/map.md, "Reconciliation").
struct CodedSymbol: Hashable, Sendable {
    var sum: UInt64 = 0
    var check: UInt32 = 0

    /// Sum 8 ‖ check 4.
    static let encodedSize = 12

    var isEmpty: Bool { sum == 0 && check == 0 }
    /// Whether this looks like one element alone.
    var isPure: Bool { !isEmpty && check == CodedSymbol.check(sum) }

    @inline(__always)
    mutating func toggle(_ name: UInt64, _ check: UInt32) {
        sum ^= name
        self.check ^= check
    }

    /// Names are pseudorandom under a key that outsiders do not know, so any function that no exclusive or commutes
    /// with will do: the high half of SplitMix64's finaliser.
    @inline(__always)
    static func check(_ name: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: SymbolPlaces.mix(name) >> 32) }
}

/// The cells into which one element falls: the first always, the cell `i` with a probability of 1 ÷ (1 + i ÷ 2).
///
/// The distances are drawn as in section 5 of the paper, from SplitMix64 seeded with the element's name. Every operation
/// on floating point here is exact or correctly rounded (IEEE 754), so all machines agree.
struct SymbolPlaces {
    private static let gamma: UInt64 = 0x9e37_79b9_7f4a_7c15
    private static let mixers: (UInt64, UInt64) = (0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb)
    /// No cell has a higher number.
    static let end: UInt64 = 1 << 32

    private var state: UInt64
    /// The current cell; ``end`` when there is none any more.
    private(set) var place: UInt64 = 0

    @inline(__always)
    init(_ name: UInt64) { state = name }

    @inline(__always)
    mutating func advance() {
        state &+= SymbolPlaces.gamma
        let draw = Double(SymbolPlaces.mix(state))
        let distance = ((Double(place) + 1.5) * (4_294_967_296.0 / (draw + 1).squareRoot() - 1)).rounded(.up)
        let next = Double(place) + max(1, distance)
        place = next < Double(SymbolPlaces.end) ? UInt64(next) : SymbolPlaces.end
    }

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* mixers.0
        mixed = (mixed ^ mixed >> 27) &* mixers.1
        return mixed ^ mixed >> 31
    }
}

/// What the two ends of a link, and nobody else, name descriptors under: without it nobody can prepare names that
/// collide or fall into the same cells.
struct SketchKey: Hashable, Sendable {
    private let hash: SipHash
    let bytes: Bytes16

    init(_ bytes: Bytes16) {
        self.bytes = bytes
        hash = SipHash(key: bytes)
    }

    /// The key of a link whose ends have greeted each other with these salts: `H("hulda/map-link", lower ‖ higher)`,
    /// its first 16 bytes.
    init(_ one: Bytes16, _ other: Bytes16) {
        let whole = BLAKE2b.h(Domain("hulda/map-link"), min(one, other).bytes + max(one, other).bytes)
        self.init(Bytes16(whole.bytes.prefix(16)) ?? Bytes16())
    }

    /// SipHash-2-4 of identifier ‖ sequence.
    @inline(__always)
    func name(_ digest: MapDigest) -> UInt64 {
        var input = Bytes24()
        input.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: digest.id, as: Bytes16.self)
            raw.storeBytes(of: digest.sequence.littleEndian, toByteOffset: 16, as: UInt64.self)
        }
        return hash.hash(input)
    }

    static func == (left: SketchKey, right: SketchKey) -> Bool { left.bytes == right.bytes }
    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

/// The first cells of a set under one key, kept up to date as the set changes: some twelve exclusive ors for each
/// change, whatever the size of the set.
struct Sketch: Sendable {
    let key: SketchKey
    private(set) var symbols: [CodedSymbol]

    init(key: SketchKey, count: Int) {
        self.key = key
        symbols = [CodedSymbol](repeating: CodedSymbol(), count: count)
    }

    /// Adds an element, or takes away one that was added.
    mutating func toggle(_ digest: MapDigest) { toggle(name: key.name(digest)) }

    mutating func toggle(name: UInt64) {
        let check = CodedSymbol.check(name)
        var places = SymbolPlaces(name)
        while places.place < symbols.count {
            symbols[Int(places.place)].toggle(name, check)
            places.advance()
        }
    }

    /// The names that are in one of two sets and not in the other, of which `symbols` are the cells' exclusive ors;
    /// `nil` when the cells do not suffice, or are no such thing.
    ///
    /// Each name is found once and there are at most as many as cells, which bounds the work whatever came in.
    static func decode(_ symbols: [CodedSymbol]) -> Set<UInt64>? {
        var sketch = symbols
        var found: Set<UInt64> = []
        var waiting = sketch.indices.filter { sketch[$0].isPure }
        while let index = waiting.popLast() {
            guard sketch[index].isPure else { continue }
            let name = sketch[index].sum
            let check = sketch[index].check
            guard found.insert(name).inserted, found.count <= sketch.count else { return nil }
            var places = SymbolPlaces(name)
            while places.place < sketch.count {
                let place = Int(places.place)
                sketch[place].toggle(name, check)
                if sketch[place].isPure { waiting.append(place) }
                places.advance()
            }
        }
        return sketch.allSatisfy(\.isEmpty) ? found : nil
    }
}
