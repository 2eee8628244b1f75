import Primitives

/// The digests of all descriptors, in order, for comparison with a peer's.
struct MapIndex: Sendable {
    /// By the first byte of the identifier; each ascending.
    private var buckets = [[MapDigest]](repeating: [], count: MapMessage.bucketCount)
    private(set) var count = 0

    /// Adds `digest`, in place of an older one of its identifier.
    /// - Returns: the older one.
    @discardableResult
    mutating func insert(_ digest: MapDigest) -> MapDigest? {
        let bucket = MapIndex.bucket(digest.id)
        let place = MapIndex.position(digest.id, in: buckets[bucket])
        if place < buckets[bucket].count, buckets[bucket][place].id == digest.id {
            let old = buckets[bucket][place]
            buckets[bucket][place] = digest
            return old
        }
        buckets[bucket].insert(digest, at: place)
        count += 1
        return nil
    }

    @discardableResult
    mutating func remove(_ id: Bytes16) -> MapDigest? {
        let bucket = MapIndex.bucket(id)
        let place = MapIndex.position(id, in: buckets[bucket])
        guard place < buckets[bucket].count, buckets[bucket][place].id == id else { return nil }
        count -= 1
        return buckets[bucket].remove(at: place)
    }

    /// All digests, ascending by identifier.
    var digests: some Sequence<MapDigest> { buckets.joined() }

    /// The digests from `low` to `high`, both included.
    func range(_ low: Bytes16, _ high: Bytes16) -> [MapDigest] {
        var out: [MapDigest] = []
        guard low <= high else { return out }
        for bucket in MapIndex.bucket(low)...MapIndex.bucket(high) {
            out += buckets[bucket].filter { low <= $0.id && $0.id <= high }
        }
        return out
    }

    /// Per bucket the first 8 bytes of keyed BLAKE2b over its digests. The salt keeps anybody from preparing two sets
    /// that look alike.
    func checksums(salt: UInt64) -> [UInt64] {
        buckets.map { bucket in
            var hash = BLAKE2b(outputCount: 16, domain: Domain("hulda/map-sum"))
            hash.update(salt)
            for digest in bucket {
                hash.update(digest.id)
                hash.update(digest.sequence)
            }
            let sum: Bytes16 = hash.finalize()
            return sum.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        }
    }

    /// The messages that list one bucket: consecutive ranges that cover it without a gap.
    func messages(bucket: Int) -> [MapMessage] {
        let digests = buckets[bucket]
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

    /// Where `id` is or would be inserted.
    private static func position(_ id: Bytes16, in bucket: [MapDigest]) -> Int {
        var low = 0
        var high = bucket.count
        while low < high {
            let middle = (low + high) / 2
            if bucket[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
