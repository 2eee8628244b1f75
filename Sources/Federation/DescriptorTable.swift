import Primitives
import Records
import Wire

/// The descriptors of a map, each as its signer encoded it, one beside the other in pages: a fraction of the memory
/// that they take decoded. They are decoded when somebody asks for them.
///
/// A copy shares all pages, and after a change all but those that changed.
struct DescriptorTable: Sendable {
    private static let pageSize = 65_536
    private static let pageLimit = 65_536
    /// Entries of a bucket that a ``Slot`` can tell apart.
    private static let bucketLimit = 1 << 24

    /// Where the entry of an identifier stands: bucket 8 bits ‖ index 24 bits, so that slots ascend with identifiers. It
    /// holds until something is inserted or removed, and in a copy that is not changed for ever.
    typealias Slot = UInt32

    /// Where a descriptor lies.
    private struct Place {
        var page: UInt16
        var offset: UInt16
        var size: UInt16
        /// Whether it took the place of an older version.
        var isRenewed: Bool

        var range: Range<Int> { Int(offset)..<Int(offset) + Int(size) }
    }

    private struct Entry {
        let id: Bytes16
        var place: Place
    }

    /// By the first byte of the identifier; each ascending. Less memory than a dictionary, and a copy of the table that is
    /// changed copies one of them.
    private var buckets = [[Entry]](repeating: [], count: 256)
    private(set) var count = 0
    private var pages: [[UInt8]] = []
    /// Bytes of each page that nothing uses any more.
    private var waste: [Int] = []
    /// Pages without content.
    private var free: [Int] = []
    /// The page that is being filled.
    private var current = 0

    func contains(_ id: Bytes16) -> Bool { place(id) != nil }

    func bytes(_ id: Bytes16) -> [UInt8]? { place(id).map { Array(pages[Int($0.page)][$0.range]) } }

    /// What was put in had been decoded before, so it decodes.
    subscript(id: Bytes16) -> MapDescriptor? { bytes(id).flatMap { try? MapDescriptor(decoding: $0) } }

    /// Whether an older version of the descriptor was held before.
    func isRenewed(_ id: Bytes16) -> Bool { place(id)?.isRenewed ?? false }

    func header(_ id: Bytes16) -> DescriptorHeader? { place(id).flatMap(header) }

    /// What a server's descriptor says, without decoding it.
    func glance(_ id: Bytes16) -> ServerGlance? { place(id).flatMap { read($0) { ServerGlance(raw: $0) } } }

    /// The slots of those whose header fits, ascending.
    func slots(where fits: (DescriptorHeader) -> Bool) -> [Slot] {
        var found: [Slot] = []
        found.reserveCapacity(count)
        for (bucket, entries) in buckets.enumerated() {
            for (index, entry) in entries.enumerated() where header(entry.place).map(fits) ?? false {
                found.append(DescriptorTable.slot(bucket, index))
            }
        }
        return found
    }

    func slot(_ id: Bytes16) -> Slot? {
        let (bucket, index, isHeld) = find(id)
        return isHeld ? DescriptorTable.slot(bucket, index) : nil
    }

    func id(at slot: Slot) -> Bytes16? { entry(slot)?.id }

    func glance(at slot: Slot) -> ServerGlance? { entry(slot).flatMap { read($0.place) { ServerGlance(raw: $0) } } }

    /// Identifiers of those whose header fits, ascending.
    func identifiers(where fits: (DescriptorHeader) -> Bool) -> [Bytes16] {
        var found: [Bytes16] = []
        for bucket in buckets {
            for entry in bucket where header(entry.place).map(fits) ?? false { found.append(entry.id) }
        }
        return found
    }

    /// Visits the digests of all, ascending by identifier.
    func visit(_ body: (MapDigest) -> Void) {
        for bucket in buckets.indices { visit(bucket: bucket, body) }
    }

    /// Visits the digests of those whose identifiers begin with this byte, ascending.
    func visit(bucket: Int, _ body: (MapDigest) -> Void) {
        for entry in buckets[bucket] {
            if let header = header(entry.place) { body(MapDigest(id: entry.id, sequence: header.sequence)) }
        }
    }

    /// Visits the digests from `low` to `high`, both included, ascending, until `body` says no.
    func visit(from low: Bytes16, to high: Bytes16, _ body: (MapDigest) -> Bool) {
        var (bucket, index, _) = find(low)
        while bucket < buckets.count {
            while index < buckets[bucket].count {
                let entry = buckets[bucket][index]
                guard entry.id <= high else { return }
                if let header = header(entry.place), !body(MapDigest(id: entry.id, sequence: header.sequence)) {
                    return
                }
                index += 1
            }
            (bucket, index) = (bucket + 1, 0)
        }
    }

    /// Puts a descriptor in place of an older one of its identifier.
    /// - Returns: whether there was room.
    mutating func insert(_ bytes: [UInt8], id: Bytes16) -> Bool {
        guard bytes.count <= Limits.descriptorSize else { return false }
        let (bucket, index, isHeld) = find(id)
        guard isHeld || buckets[bucket].count < DescriptorTable.bucketLimit else { return false }
        let old = isHeld ? buckets[bucket][index].place : nil
        if var place = old, Int(place.size) == bytes.count {
            pages[Int(place.page)].replaceSubrange(place.range, with: bytes)
            place.isRenewed = true
            set(place, id)
            return true
        }
        guard let place = append(bytes, isRenewed: old != nil) else { return false }
        set(place, id)
        if let old { abandon(old) }
        return true
    }

    mutating func remove(_ id: Bytes16) {
        let (bucket, index, isHeld) = find(id)
        guard isHeld else { return }
        let place = buckets[bucket].remove(at: index).place
        count -= 1
        abandon(place)
    }

    private func header(_ place: Place) -> DescriptorHeader? { read(place) { DescriptorHeader(raw: $0) } }

    private func read<T>(_ place: Place, _ body: (UnsafeRawBufferPointer) -> T) -> T {
        pages[Int(place.page)].withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[place.range])) }
    }

    // MARK: Places

    private func place(_ id: Bytes16) -> Place? {
        let (bucket, index, isHeld) = find(id)
        return isHeld ? buckets[bucket][index].place : nil
    }

    private mutating func set(_ place: Place, _ id: Bytes16) {
        let (bucket, index, isHeld) = find(id)
        if isHeld {
            buckets[bucket][index].place = place
        } else {
            buckets[bucket].reserveOneMore()
            buckets[bucket].insert(Entry(id: id, place: place), at: index)
            count += 1
        }
    }

    private static func slot(_ bucket: Int, _ index: Int) -> Slot { UInt32(truncatingIfNeeded: bucket << 24 | index) }

    private func entry(_ slot: Slot) -> Entry? {
        let bucket = buckets[Int(slot >> 24)]
        let index = Int(slot & 0xff_ffff)
        return index < bucket.count ? bucket[index] : nil
    }

    /// Where an identifier is or would be inserted.
    private func find(_ id: Bytes16) -> (bucket: Int, index: Int, isHeld: Bool) {
        let bucket = id.withUnsafeBytes { Int($0[0]) }
        var low = 0
        var high = buckets[bucket].count
        while low < high {
            let middle = (low + high) / 2
            if buckets[bucket][middle].id < id { low = middle + 1 } else { high = middle }
        }
        return (bucket, low, low < buckets[bucket].count && buckets[bucket][low].id == id)
    }

    // MARK: Pages

    private mutating func append(_ bytes: [UInt8], isRenewed: Bool) -> Place? {
        if pages.isEmpty || pages[current].count + bytes.count > DescriptorTable.pageSize {
            guard openPage() else { return nil }
        }
        let offset = pages[current].count
        pages[current] += bytes
        return Place(
            page: UInt16(truncatingIfNeeded: current), offset: UInt16(truncatingIfNeeded: offset),
            size: UInt16(truncatingIfNeeded: bytes.count), isRenewed: isRenewed)
    }

    private mutating func openPage() -> Bool {
        if let reused = free.popLast() {
            current = reused
        } else {
            guard pages.count < DescriptorTable.pageLimit else { return false }
            current = pages.count
            pages.append([])
            waste.append(0)
        }
        pages[current].reserveCapacity(DescriptorTable.pageSize)
        return true
    }

    /// Gives up a place. A page that is mostly given up is given up as a whole, and what is left of it moves.
    private mutating func abandon(_ place: Place) {
        let page = Int(place.page)
        waste[page] += Int(place.size)
        guard page != current, waste[page] > DescriptorTable.pageSize / 2 else { return }
        for bucket in buckets.indices {
            for index in buckets[bucket].indices where Int(buckets[bucket][index].place.page) == page {
                let left = buckets[bucket][index].place
                guard let moved = append(Array(pages[page][left.range]), isRenewed: left.isRenewed) else { return }
                buckets[bucket][index].place = moved
            }
        }
        pages[page] = []
        waste[page] = 0
        free.append(page)
    }
}
