import Glibc
import Storage

/// The layout of the data file of LMDB 0.9 (mdb.c, "Page structures"), in the byte order of the machine.
enum PageFormat {
    static let headerSize = 16
    static let nodeHeaderSize = 8
    /// Pages 0 and 1 are metas, written in turn.
    static let firstTreePage: UInt64 = 2
    /// The root of an empty tree.
    static let noPage = UInt64.max
    /// The most pages on the way from a root to a leaf: LMDB's cursors have so many places.
    static let depthLimit = 32
    static let keyLimit = 511

    // Flags of a page…
    static let branch: UInt16 = 1
    static let leaf: UInt16 = 2
    static let overflow: UInt16 = 4
    static let meta: UInt16 = 8
    // …and of a node in a leaf.
    static let bigData: UInt16 = 1
    static let subTree: UInt16 = 2

    /// Bytes of a node within a leaf, beyond which its value has pages of its own.
    static func nodeLimit(pageSize: Int) -> Int { ((pageSize - headerSize) / 2 & ~1) - 2 }
    /// Pages of a value that has pages of its own.
    static func run(of size: Int, pageSize: Int) -> UInt64 { UInt64((headerSize - 1 + size) / pageSize + 1) }
    /// Page sizes that LMDB makes.
    static let pageSizes = [4096, 8192, 16_384, 32_768]
}

/// What LMDB notes of a tree (`MDB_db`, 48 bytes).
struct TreeRoot {
    static let size = 48
    let pad: UInt32
    let flags: UInt16
    let depth: Int
    let branchPages: UInt64
    let leafPages: UInt64
    let overflowPages: UInt64
    let entries: UInt64
    let page: UInt64

    /// - Parameter bytes: at least ``size``.
    init(_ bytes: UnsafeRawBufferPointer) {
        pad = bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
        flags = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        depth = Int(bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        branchPages = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        leafPages = bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
        overflowPages = bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        entries = bytes.loadUnaligned(fromByteOffset: 32, as: UInt64.self)
        page = bytes.loadUnaligned(fromByteOffset: 40, as: UInt64.self)
    }
}

/// A meta page: where the trees of one transaction begin (`MDB_meta`).
struct MetaPage {
    static let magic: UInt32 = 0xbeef_c0de
    static let version: UInt32 = 1
    /// Of the free list, whose flags have the environment's in their upper half.
    private static let integerKeys: UInt16 = 8
    private static let treeFlags: UInt16 = 0x00ff

    let slot: Int
    let free: TreeRoot
    let main: TreeRoot
    let lastPage: UInt64
    let transaction: UInt64
    /// What is wrong with it, as far as the page alone shows.
    let problem: String?

    /// - Parameters:
    ///   - page: a whole page.
    ///   - pageLimit: the most pages that the file may have.
    init(_ page: UnsafeRawBufferPointer, slot: Int, pageLimit: UInt64) {
        self.slot = slot
        let body = UnsafeRawBufferPointer(rebasing: page[PageFormat.headerSize...])
        free = TreeRoot(UnsafeRawBufferPointer(rebasing: body[24..<(24 + TreeRoot.size)]))
        main = TreeRoot(UnsafeRawBufferPointer(rebasing: body[72..<(72 + TreeRoot.size)]))
        lastPage = body.loadUnaligned(fromByteOffset: 120, as: UInt64.self)
        transaction = body.loadUnaligned(fromByteOffset: 128, as: UInt64.self)
        let view = PageView(page)
        problem =
            if view.number != UInt64(slot) || view.flags != PageFormat.meta {
                "it is no meta page"
            } else if body.loadUnaligned(as: UInt32.self) != MetaPage.magic
                || body.loadUnaligned(fromByteOffset: 4, as: UInt32.self) != MetaPage.version
            {
                "it is of no version that is known"
            } else if Int(free.pad) != page.count || free.flags & MetaPage.treeFlags != MetaPage.integerKeys
                || main.pad != 0
                || main.flags != 0
            {
                "its flags are none"
            } else if lastPage < 1 || lastPage >= pageLimit {
                "its number of pages is impossible"
            } else if transaction != 0 && transaction & 1 != UInt64(slot) {
                "its transaction belongs into the other one"
            } else {
                nil
            }
    }
}

/// A page of a tree. Whatever its bytes are, nothing beyond them is read.
struct PageView {
    let bytes: UnsafeRawBufferPointer

    /// - Parameter bytes: a whole page.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var number: UInt64 { bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self) }
    var flags: UInt16 { bytes.loadUnaligned(fromByteOffset: 10, as: UInt16.self) }
    private var lower: Int { Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt16.self)) }
    private var upper: Int { Int(bytes.loadUnaligned(fromByteOffset: 14, as: UInt16.self)) }
    /// Of the first page of a value with pages of its own: how many they are.
    var run: UInt32 { bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self) }

    /// Nodes, as many as the page has room for at most.
    var count: Int {
        let end = min(max(lower, PageFormat.headerSize), bytes.count)
        return (end - PageFormat.headerSize) / 2
    }

    private func offset(_ index: Int) -> Int {
        Int(bytes.loadUnaligned(fromByteOffset: PageFormat.headerSize + 2 * index, as: UInt16.self))
    }

    /// The node of an index below ``count``; `nil` when it does not lie within the page.
    func node(_ index: Int) -> PageNode? {
        let start = offset(index)
        guard start >= PageFormat.headerSize, start + PageFormat.nodeHeaderSize <= bytes.count else { return nil }
        let keySize = Int(bytes.loadUnaligned(fromByteOffset: start + 6, as: UInt16.self))
        let keyStart = start + PageFormat.nodeHeaderSize
        guard keySize <= PageFormat.keyLimit, keyStart + keySize <= bytes.count else { return nil }
        return PageNode(
            low: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self),
            flags: bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self),
            key: UnsafeRawBufferPointer(rebasing: bytes[keyStart..<(keyStart + keySize)]),
            rest: UnsafeRawBufferPointer(rebasing: bytes[(keyStart + keySize)...]))
    }

    /// What is wrong with the page's own structure: nodes lie packed behind each other from `upper` to the end.
    /// - Parameter sizes: room for one number for every two bytes of a page.
    func problem(isLeaf: Bool, integerKeys: Bool, sizes: UnsafeMutableBufferPointer<UInt16>) -> String? {
        guard lower >= PageFormat.headerSize, lower & 1 == 0, lower <= upper, upper <= bytes.count else {
            return "its bounds are impossible"
        }
        // LMDB takes a branch with one child away, but in its own free list while it writes it.
        guard count >= (isLeaf || integerKeys ? 1 : 2) else { return "it has no nodes" }
        sizes.update(repeating: 0)
        var before: UnsafeRawBufferPointer?
        for index in 0..<count {
            let start = offset(index)
            guard start >= upper, start & 1 == 0, let node = node(index) else { return "a node lies outside" }
            let content = isLeaf ? node.inlineSize : 0
            guard let content, content <= node.rest.count else { return "a value lies outside" }
            let size = PageFormat.nodeHeaderSize + node.key.count + content
            guard !isLeaf || size <= PageFormat.nodeLimit(pageSize: bytes.count) else { return "a node is too large" }
            guard sizes[start / 2] == 0 else { return "two nodes lie in one place" }
            sizes[start / 2] = UInt16((size + 1) & ~1)
            // The first key of a branch stands for all that are lower.
            if !isLeaf && index == 0 { continue }
            guard !node.key.isEmpty, !integerKeys || node.key.count == 8 else { return "a key has no possible size" }
            if let before, !PageOrder.ascends(before, node.key, integerKeys) { return "its keys are not in order" }
            before = node.key
        }
        var place = upper
        var met = 0
        while place < bytes.count, sizes[place / 2] > 0 {
            place += Int(sizes[place / 2])
            met += 1
        }
        return place == bytes.count && met == count ? nil : "its nodes overlap or leave gaps"
    }
}

/// A node of a page.
struct PageNode {
    let low: UInt32
    let flags: UInt16
    let key: UnsafeRawBufferPointer
    /// All of the page behind the key.
    let rest: UnsafeRawBufferPointer

    /// In a branch: the page that it leads to.
    var child: UInt64 { UInt64(low) | UInt64(flags) << 32 }
    /// In a leaf: bytes of the value.
    var valueSize: Int { Int(low) }

    /// Bytes of the value, or of what stands for it, in the page; `nil` for flags that we never set.
    var inlineSize: Int? {
        switch flags {
        case 0: valueSize
        case PageFormat.bigData: 8
        case PageFormat.subTree: valueSize == TreeRoot.size ? valueSize : nil
        default: nil
        }
    }

    /// The value, if it lies in the page.
    var inline: UnsafeRawBufferPointer? {
        guard flags == 0 || flags == PageFormat.subTree, valueSize <= rest.count else { return nil }
        return UnsafeRawBufferPointer(rebasing: rest[..<valueSize])
    }

    /// The first page of the value, if it has pages of its own.
    var run: UInt64? {
        guard flags == PageFormat.bigData, rest.count >= 8 else { return nil }
        return rest.loadUnaligned(as: UInt64.self)
    }
}

/// The order of keys.
enum PageOrder {
    static func ascends(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ integerKeys: Bool
    ) -> Bool {
        if integerKeys, left.count == 8, right.count == 8 {
            return left.loadUnaligned(as: UInt64.self) < right.loadUnaligned(as: UInt64.self)
        }
        guard let first = left.baseAddress, let second = right.baseAddress else { return left.count < right.count }
        let order = memcmp(first, second, min(left.count, right.count))
        return order == 0 ? left.count < right.count : order < 0
    }
}
