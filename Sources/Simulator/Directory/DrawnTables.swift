import Primitives
import Records

/// Routing tables as servers have them after a long time: up to k contacts of every bucket, drawn from all that belong
/// there. They are drawn when a server is first spoken to, so that of a large network only those take memory that take
/// part in something.
struct DrawnTables: Sendable {
    /// Contacts of one bucket.
    private static let bucket = 20
    /// Buckets beyond hold nobody: so many bits no two of a million servers share.
    private static let depth = 48

    /// The first 64 bits of each node ID, in ascending order, and whose it is.
    private let words: [UInt64]
    private let owners: [Int]
    private let seed: UInt64

    /// - Parameter members: node IDs, and the number that stands for each in what is drawn.
    init(_ members: [(id: NodeID, number: Int)], seed: UInt64) {
        let sorted = members.map { (word: $0.id.firstWord, number: $0.number) }.sorted { $0.word < $1.word }
        words = sorted.map(\.word)
        owners = sorted.map(\.number)
        self.seed = seed
    }

    /// A random state of the server's own, the same whenever it is asked for.
    func entropy(of number: Int) -> Entropy { Entropy(seed: seed &+ UInt64(number)) }

    /// The table of a server, the farthest bucket first.
    func contacts(of id: NodeID, _ entropy: inout Entropy) -> [Int] {
        let own = id.firstWord
        var out: [Int] = []
        for level in 0..<Self.depth {
            let bit = UInt64(1) << (63 - level)
            let low = (own ^ bit) & ~(bit - 1)
            let range = first(low)..<first(low | (bit - 1), orAfter: true)
            guard range.count > Self.bucket else {
                out += range.map { owners[$0] }
                continue
            }
            var drawn: Set<Int> = []
            while drawn.count < Self.bucket {
                let place = range.lowerBound + entropy.below(range.count)
                if drawn.insert(place).inserted { out.append(owners[place]) }
            }
        }
        return out
    }

    /// The first place whose word is not below `word`, or not at it either.
    private func first(_ word: UInt64, orAfter isAfter: Bool = false) -> Int {
        var low = 0
        var high = words.count
        while low < high {
            let middle = (low + high) / 2
            if words[middle] < word || (isAfter && words[middle] == word) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension DirectoryWorld {
    /// Gives servers the table that they would have after a long time. Servers of the map come before strangers.
    /// - Parameter members: who has one, and may be in those of others; all if not given.
    func drawTables(of members: Range<Int>? = nil) {
        let known = Set(directories)
        var listed: [(id: NodeID, number: Int)] = []
        var strangers: [(id: NodeID, number: Int)] = []
        for number in members ?? nodes.indices {
            let node = nodes[number]
            if known.contains(node.nodeID) {
                listed.append((node.nodeID, number))
            } else {
                strangers.append((node.nodeID, number))
            }
        }
        tables = (DrawnTables(listed, seed: entropy.uint64()), DrawnTables(strangers, seed: entropy.uint64()))
        for number in members ?? nodes.indices { nodes[number].hasTable = false }
    }

    /// Before a server hears or says anything.
    func fillTable(of index: Int) {
        let node = nodes[index]
        guard let tables, !node.hasTable else { return }
        node.hasTable = true
        var own = tables.listed.entropy(of: index)
        let listed = tables.listed.contacts(of: node.nodeID, &own)
        let numbers = listed + tables.strangers.contacts(of: node.nodeID, &own)
        node.core.adopt(
            numbers.indices.lazy.map { [self] place in
                let other = nodes[numbers[place]]
                return (
                    contact: other.contact, cluster: other.cluster, isListed: place < listed.count,
                    roundTrip: roundTrip ?? UInt64(latency.roundTrip(regions[index], regions[numbers[place]]) + 10)
                )
            }, now: now, entropy: &own)
    }
}

extension Bytes32 {
    /// The first eight bytes as a number, the first byte highest.
    var firstWord: UInt64 { withUnsafeBytes { $0.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } } }
}
