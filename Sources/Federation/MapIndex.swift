import Primitives

/// The digests of all descriptors that are held or wait for admission, in order, for comparison with a peer's.
///
/// It is made when it is asked for, and reads what is held from the table: kept for itself it would take as much memory as
/// the table's own places.
struct MapIndex {
    private let held: DescriptorTable
    /// Those that wait, in place of older ones that are held; by the first byte of the identifier, each ascending.
    private var waiting = [[MapDigest]](repeating: [], count: MapMessage.bucketCount)

    init(_ held: DescriptorTable = DescriptorTable(), waiting: [MapDigest] = []) {
        self.held = held
        for digest in waiting.sorted() { self.waiting[MapIndex.bucket(digest.id)].append(digest) }
    }

    /// The digests of one bucket, ascending by identifier.
    private func digests(_ bucket: Int) -> [MapDigest] {
        var out: [MapDigest] = []
        var left = waiting[bucket][...]
        held.visit(bucket: bucket) { digest in
            while let next = left.first, next.id < digest.id { out.append(left.removeFirst()) }
            out.append(left.first?.id == digest.id ? left.removeFirst() : digest)
        }
        return out + left
    }

    /// Per bucket the first 8 bytes of keyed BLAKE2b over its digests. The salt keeps anybody from preparing two sets
    /// that look alike.
    func checksums(salt: UInt64) -> [UInt64] {
        (0..<MapMessage.bucketCount).map { bucket in
            var hash = BLAKE2b(outputCount: 16, domain: Domain("hulda/map-sum"))
            hash.update(salt)
            for digest in digests(bucket) {
                hash.update(digest.id)
                hash.update(digest.sequence)
            }
            let sum: Bytes16 = hash.finalize()
            return sum.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        }
    }

    /// The messages that list one bucket: consecutive ranges that cover it without a gap.
    func messages(bucket: Int) -> [MapMessage] {
        let digests = digests(bucket)
        var low = MapIndex.edge(bucket, 0)
        var out: [MapMessage] = []
        var start = 0
        repeat {
            let end = min(start + MapMessage.digestLimit, digests.count)
            let isLast = end == digests.count
            let part = Array(digests[start..<end])
            // The next range begins at the next digest, so everything before that is covered by this one.
            let high = isLast ? MapIndex.edge(bucket, 0xff) : MapIndex.before(digests[end].id)
            out.append(.digests(low: low, high: high, part))
            if !isLast { low = digests[end].id }
            start = end
        } while start < digests.count
        return out
    }

    private static func bucket(_ id: Bytes16) -> Int { id.withUnsafeBytes { Int($0[0]) } }

    /// The lowest (`fill` 0) or highest (`fill` 255) identifier of a bucket.
    private static func edge(_ bucket: Int, _ fill: UInt8) -> Bytes16 {
        var id = Bytes16()
        id.withUnsafeMutableBytes { raw in
            for index in 0..<16 { raw[index] = index == 0 ? UInt8(truncatingIfNeeded: bucket) : fill }
        }
        return id
    }

    /// The identifier just below `id`.
    private static func before(_ id: Bytes16) -> Bytes16 {
        var out = id
        out.withUnsafeMutableBytes { raw in
            for index in stride(from: 15, through: 0, by: -1) {
                raw[index] &-= 1
                if raw[index] != 0xff { break }
            }
        }
        return out
    }
}
