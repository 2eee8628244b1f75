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

    /// Where a descriptor lies.
    private struct Place {
        var page: UInt16
        var offset: UInt16
        var size: UInt16
        /// Whether it took the place of an older version.
        var isRenewed: Bool

        var range: Range<Int> { Int(offset)..<Int(offset) + Int(size) }
    }

    private var places: [Bytes16: Place] = [:]
    private var pages: [[UInt8]] = []
    /// Bytes of each page that nothing uses any more.
    private var waste: [Int] = []
    /// Pages without content.
    private var free: [Int] = []
    /// The page that is being filled.
    private var current = 0

    var count: Int { places.count }

    func contains(_ id: Bytes16) -> Bool { places[id] != nil }

    func bytes(_ id: Bytes16) -> [UInt8]? { places[id].map { Array(pages[Int($0.page)][$0.range]) } }

    /// What was put in had been decoded before, so it decodes.
    subscript(id: Bytes16) -> MapDescriptor? { bytes(id).flatMap { try? MapDescriptor(decoding: $0) } }

    /// Whether an older version of the descriptor was held before.
    func isRenewed(_ id: Bytes16) -> Bool { places[id]?.isRenewed ?? false }

    func header(_ id: Bytes16) -> DescriptorHeader? { places[id].flatMap(header) }

    /// Identifiers of those whose header fits, ascending.
    func identifiers(where fits: (DescriptorHeader) -> Bool) -> [Bytes16] {
        places.filter { header($0.value).map(fits) ?? false }.map(\.key).sorted()
    }

    /// Visits the digests of all, in no order.
    func visit(_ body: (MapDigest) -> Void) {
        for (id, place) in places {
            if let header = header(place) { body(MapDigest(id: id, sequence: header.sequence)) }
        }
    }

    /// Puts a descriptor in place of an older one of its identifier.
    /// - Returns: whether there was room.
    mutating func insert(_ bytes: [UInt8], id: Bytes16) -> Bool {
        guard bytes.count <= Limits.descriptorSize else { return false }
        let old = places[id]
        if var place = old, Int(place.size) == bytes.count {
            pages[Int(place.page)].replaceSubrange(place.range, with: bytes)
            place.isRenewed = true
            places[id] = place
            return true
        }
        guard let place = append(bytes, isRenewed: old != nil) else { return false }
        places[id] = place
        if let old { abandon(old) }
        return true
    }

    mutating func remove(_ id: Bytes16) {
        guard let place = places.removeValue(forKey: id) else { return }
        abandon(place)
    }

    private func header(_ place: Place) -> DescriptorHeader? {
        pages[Int(place.page)].withUnsafeBytes { page in
            DescriptorHeader(raw: UnsafeRawBufferPointer(rebasing: page[place.range]))
        }
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
        for (id, left) in places where Int(left.page) == page {
            guard let moved = append(Array(pages[page][left.range]), isRenewed: left.isRenewed) else { return }
            places[id] = moved
        }
        pages[page] = []
        waste[page] = 0
        free.append(page)
    }
}
