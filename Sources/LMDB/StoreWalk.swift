import Storage

/// Walks all pages that a meta page leads to, with every bound checked, and every entry against its checksum.
///
/// LMDB trusts its file and would end the process on a page that it cannot be (specs/overview.md, "Damage"). What counts
/// is what the transaction of the meta page holds: pages that trees reach, and, when the list of free pages is whole,
/// pages that neither trees nor that list have. Pages of earlier transactions are in that list, so no old version of an
/// entry comes back.
final class StoreWalk {
    /// Takes an intact entry: its value has its checksum behind it.
    typealias Sink = (_ table: Table, _ key: UnsafeRawBufferPointer, _ stored: UnsafeRawBufferPointer) -> Void

    /// Entries of a table.
    struct Tally {
        /// As LMDB has noted it; `nil` when that note is lost.
        var noted: UInt64?
        var intact: UInt64 = 0
    }

    private struct Tree {
        let label: String
        /// `nil` for LMDB's own two.
        let table: Table?
        let root: TreeRoot
        var integerKeys = false
        let visit: (PageNode) -> Void
    }

    private struct Count {
        var branches: UInt64 = 0
        var leaves: UInt64 = 0
        var overflow: UInt64 = 0
        var entries: UInt64 = 0
        /// Of the tree's own table.
        var intact: UInt64 = 0
    }

    let meta: MetaPage
    private(set) var problems = ProblemList()
    private(set) var tallies: [Table: Tally] = [:]
    /// Whether something that was taken may be of an earlier transaction.
    private(set) var mayBeOlder = false
    /// The last transaction that has freed pages: as a rule the meta page's own.
    private(set) var lastFreeing: UInt64 = 0

    private let file: PageFile
    private let known: [Table]
    private let sink: Sink
    private var used: PageSet
    private var free: PageSet
    private var isFreeListWhole = false
    private var count = Count()
    private let buffers: UnsafeMutableRawBufferPointer
    private let sizes: UnsafeMutableBufferPointer<UInt16>
    private var scratch: [UInt8] = []

    /// - Parameter known: tables of which entries are looked for in pages that no table leads to.
    init(_ file: PageFile, _ meta: MetaPage, known: [Table], sink: @escaping Sink) {
        self.file = file
        self.meta = meta
        self.known = known
        self.sink = sink
        used = PageSet(limit: meta.lastPage + 1)
        free = PageSet(limit: meta.lastPage + 1)
        buffers = .allocate(byteCount: (PageFormat.depthLimit + 1) * file.pageSize, alignment: 16)
        sizes = .allocate(capacity: file.pageSize / 2)
    }

    deinit {
        buffers.deallocate()
        sizes.deallocate()
    }

    func run() {
        walkFreeList()
        var tables: [(table: Table, root: TreeRoot)] = []
        walk(
            Tree(label: "the list of tables", table: nil, root: meta.main) { [unowned self] node in
                guard node.flags == PageFormat.subTree, let bytes = node.inline, bytes.count == TreeRoot.size else {
                    return problems.note("the list of tables has something else in it")
                }
                tables.append((Table(named: String(decoding: node.key, as: UTF8.self)), TreeRoot(bytes)))
            })
        for (table, root) in tables {
            tallies[table, default: Tally()].noted = root.entries
            walk(
                Tree(label: "table \(table)", table: table, root: root) { [unowned self] node in take(node, of: table) }
            )
        }
        if !problems.isEmpty, isFreeListWhole { takeStrays() }
    }

    // MARK: The free list

    private func walkFreeList() {
        walk(
            Tree(label: "the free list", table: nil, root: meta.free, integerKeys: true) { [unowned self] node in
                guard node.key.count == 8, withStored(node, nil, noteFree(node.key)) else {
                    return problems.note("the free list has an impossible entry")
                }
            })
        isFreeListWhole = problems.isEmpty
    }

    /// An entry of the free list: the number of pages, then those, descending.
    private func noteFree(_ key: UnsafeRawBufferPointer) -> (UnsafeRawBufferPointer) -> Bool {
        { [unowned self] list in
            let transaction = key.loadUnaligned(as: UInt64.self)
            guard transaction <= meta.transaction, list.count >= 8, list.count & 7 == 0 else { return false }
            lastFreeing = max(lastFreeing, transaction)
            let pages = list.loadUnaligned(as: UInt64.self)
            guard pages < list.count / 8 else { return false }
            var before = UInt64.max
            for index in 0..<Int(pages) {
                let page = list.loadUnaligned(fromByteOffset: 8 * (index + 1), as: UInt64.self)
                guard page < before, page >= PageFormat.firstTreePage, free.insert(page) else { return false }
                before = page
            }
            return true
        }
    }

    // MARK: Trees

    private func walk(_ tree: Tree) {
        let (root, before) = (tree.root, problems.count)
        count = Count()
        guard root.page != PageFormat.noPage else {
            if root.entries != 0 || root.depth != 0 { problems.note("\(tree.label) has no root") }
            return
        }
        guard (1...PageFormat.depthLimit).contains(root.depth),
            tree.table == nil || (root.flags == 0 && root.pad == 0)
        else { return problems.note("\(tree.label): what is noted of it is impossible") }
        descend(root.page, 0, tree, low: nil, high: nil, isTrusted: true)
        if let table = tree.table { tallies[table, default: Tally()].intact += count.intact }
        let isCounted =
            count.branches == root.branchPages && count.leaves == root.leafPages
            && count.overflow == root.overflowPages && count.entries == root.entries
        if !isCounted, problems.count == before { problems.note("\(tree.label): what is noted of it does not fit it") }
    }

    /// - Parameters:
    ///   - low: the page's keys are not below it, and below `high`; `nil` for no limit.
    ///   - isTrusted: whether all pages on the way were sound.
    private func descend(
        _ number: UInt64, _ level: Int, _ tree: Tree, low: [UInt8]?, high: [UInt8]?, isTrusted: Bool
    ) {
        guard number >= PageFormat.firstTreePage, number <= meta.lastPage else {
            return problems.note("\(tree.label): page \(number) is none")
        }
        if free.contains(number) {
            problems.note("\(tree.label): page \(number) is in use and free")
            // One of the two is wrong. A page that a damaged one leads to is an old one, a sound one's may be.
            guard isTrusted else { return }
            mayBeOlder = true
            isFreeListWhole = false
        }
        guard used.insert(number) else { return problems.note("\(tree.label): page \(number) is used twice") }
        let start = level * file.pageSize
        let page = UnsafeMutableRawBufferPointer(rebasing: buffers[start..<(start + file.pageSize)])
        guard file.read(number, into: page) else {
            return problems.note("\(tree.label): page \(number) cannot be read")
        }
        let view = PageView(UnsafeRawBufferPointer(page))
        let isLeaf = level + 1 == tree.root.depth
        let problem =
            if view.number != number || view.flags != (isLeaf ? PageFormat.leaf : PageFormat.branch) {
                "it is another one, or of another kind"
            } else {
                view.problem(isLeaf: isLeaf, integerKeys: tree.integerKeys, sizes: sizes)
                    ?? (fits(view, isLeaf, low, high, tree.integerKeys) ? nil : "its keys belong elsewhere")
            }
        if let problem { problems.note("\(tree.label): page \(number): \(problem)") }
        // Another page that came into this one's place may be an old one.
        guard view.number == number else { return }
        // Where a damaged page leads may be an old page, unless all those are known.
        let isSound = isTrusted && problem == nil
        guard isSound || isFreeListWhole else { return }
        if isLeaf { count.leaves += 1 } else { count.branches += 1 }
        for index in 0..<view.count {
            guard let node = view.node(index) else { continue }
            if isLeaf {
                count.entries += 1
                tree.visit(node)
            } else {
                let next = problem == nil && index + 1 < view.count ? view.node(index + 1).map { Array($0.key) } : nil
                descend(
                    node.child, level + 1, tree, low: problem == nil ? (index == 0 ? low : Array(node.key)) : nil,
                    high: problem == nil ? next ?? high : nil, isTrusted: isSound)
            }
        }
    }

    private func fits(
        _ view: PageView, _ isLeaf: Bool, _ low: [UInt8]?, _ high: [UInt8]?, _ integerKeys: Bool
    ) -> Bool {
        // The first key of a branch stands for all that are lower.
        let first = isLeaf ? 0 : 1
        guard view.count > first, let lowest = view.node(first), let highest = view.node(view.count - 1) else {
            return true
        }
        let isAbove = low?.withUnsafeBytes { !PageOrder.ascends(lowest.key, $0, integerKeys) } ?? true
        return isAbove && (high?.withUnsafeBytes { PageOrder.ascends(highest.key, $0, integerKeys) } ?? true)
    }

    // MARK: Entries

    /// Takes an entry, of `table` or of whichever its checksum fits.
    private func take(_ node: PageNode, of table: Table?) {
        let isTaken = withStored(node, table) { stored in
            if let table, EntryChecksum.opened(table, key: node.key, stored: stored) != nil {
                count.intact += 1
                sink(table, node.key, stored)
                return true
            }
            for other in known where other != table {
                guard EntryChecksum.opened(other, key: node.key, stored: stored) != nil else { continue }
                tallies[other, default: Tally()].intact += 1
                sink(other, node.key, stored)
                return true
            }
            return false
        }
        // Stray pages may be anything.
        if !isTaken, let table { problems.note("table \(table): an entry does not fit its checksum") }
    }

    /// Calls `body` with what is stored under a node.
    /// - Returns: its answer; false when there is nothing that can be read.
    private func withStored(_ node: PageNode, _ table: Table?, _ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        if node.flags == 0, let value = node.inline { return body(value) }
        guard let first = node.run else { return false }
        let needed = PageFormat.run(of: node.valueSize, pageSize: file.pageSize)
        guard first >= PageFormat.firstTreePage, first <= meta.lastPage, needed <= meta.lastPage - first + 1 else {
            return false
        }
        let size = PageFormat.headerSize + node.valueSize
        if scratch.count < size { scratch = [UInt8](repeating: 0, count: max(size, 64 << 10)) }
        return scratch.withUnsafeMutableBytes { scratch in
            guard file.read(first, into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<size])) else {
                return false
            }
            let head = UnsafeRawBufferPointer(scratch)
            guard claim(first, needed, PageView(head), table) else { return false }
            return body(UnsafeRawBufferPointer(rebasing: head[PageFormat.headerSize..<size]))
        }
    }

    /// Notes the pages of a value. It keeps those that it had when a smaller one took its place within a transaction.
    /// - Returns: whether they are those of a value, and not others, perhaps older, that came into their place.
    private func claim(_ first: UInt64, _ needed: UInt64, _ head: PageView, _ table: Table?) -> Bool {
        let label = table.map { "table \($0)" } ?? "an entry"
        var pages = UInt64(head.run)
        let isHead =
            head.number == first && head.flags == PageFormat.overflow && pages >= needed
            && pages <= meta.lastPage - first + 1
        if !isHead {
            problems.note("\(label): page \(first) is none of a value")
            pages = needed
        }
        for page in first..<(first + pages) {
            count.overflow += 1
            if free.contains(page) { problems.note("\(label): page \(page) is in use and free") }
            if !used.insert(page) { problems.note("\(label): page \(page) is used twice") }
        }
        return isHead
    }

    /// Takes what leaves have that are in use and that no damaged tree leads to any more.
    private func takeStrays() {
        let page = UnsafeMutableRawBufferPointer(rebasing: buffers[..<file.pageSize])
        var next = PageFormat.firstTreePage
        while next <= meta.lastPage {
            let number = next
            next += 1
            guard !used.contains(number), !free.contains(number), file.read(number, into: page) else { continue }
            let view = PageView(UnsafeRawBufferPointer(page))
            guard view.number == number else { continue }
            // Somebody else's bytes are in it, which may look like a page.
            if view.flags == PageFormat.overflow { next = number + max(1, UInt64(view.run)) }
            guard view.flags == PageFormat.leaf else { continue }
            for index in 0..<view.count {
                if let node = view.node(index) { take(node, of: nil) }
            }
        }
    }
}

/// What is wrong, in words: all of it counted, the first of it kept.
struct ProblemList {
    private static let limit = 16
    private(set) var texts: [String] = []
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }

    mutating func note(_ text: String) {
        count += 1
        if texts.count < ProblemList.limit { texts.append(text) }
    }
}
