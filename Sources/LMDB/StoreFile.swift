import Glibc
import Storage

/// The data file before LMDB maps it: made when it is missing, walked, and replaced by what is left of it when it is
/// damaged (specs/overview.md, "Damage").
struct StoreFile {
    let folder: String
    /// Bytes that the environment will map.
    let mapBytes: Int
    /// Tables that may be in it.
    let tables: [Table]

    private var path: String { folder + "/data.mdb" }
    private var known: [Table] { tables + [FreshStore.ownTable] }

    /// Makes the file one that LMDB may be let loose on.
    /// - Parameters:
    ///   - creates: whether a missing or empty file is made anew, or an error.
    ///   - refuses: whether a file of which no entry is left is an error, or replaced by an empty store.
    func prepare(creates: Bool, refuses: Bool) throws(StorageError) {
        FreshStore.sweep(folder)
        var status = stat()
        let isThere = stat(path, &status) == 0
        if !isThere, errno != ENOENT { throw StorageError(system: errno) }
        if isThere, status.st_mode & S_IFMT != S_IFREG { throw .unavailable("\(path) is no file") }
        guard isThere, status.st_size > 0 else {
            guard creates else { throw .corrupt("its data file is \(isThere ? "empty" : "missing")") }
            return try FreshStore(folder: folder, mapBytes: mapBytes).place(.new, keeping: nil)
        }
        let file = try PageFile(path: path)
        let metas = metas(file)
        if isSound(file, metas) { return }
        try salvage(file, metas, refuses: refuses)
    }

    /// Whether all of the state after a transaction is sound, while nobody writes its pages.
    func isSound(at transaction: UInt64) throws(StorageError) -> Bool {
        let file = try PageFile(path: path)
        guard let meta = metas(file).first(where: { $0.problem == nil && $0.transaction == transaction }) else {
            return false
        }
        let walk = StoreWalk(file, meta, known: known) { _, _, _ in }
        walk.run()
        return walk.problems.isEmpty
    }

    /// What is wrong with the file; it stays as it is.
    func inspect() throws(StorageError) -> [String] {
        var status = stat()
        guard stat(path, &status) == 0, status.st_size > 0 else { return ["its data file is missing or empty"] }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unavailable("\(path) is no file") }
        let file = try PageFile(path: path)
        let metas = metas(file)
        if isSound(file, metas) { return [] }
        let problems = metas.compactMap { meta in meta.problem.map { "meta page \(meta.slot): \($0)" } }
        let found = (newest(metas) ?? metas.first).map { find(file, $0).problems.texts } ?? []
        return problems + found.prefix(8) + (problems.isEmpty && found.isEmpty ? ["its meta pages do not fit"] : [])
    }

    private func metas(_ file: PageFile) -> [MetaPage] {
        // A mark in a file may claim any number of pages; no more than these can be.
        let limit = max(file.pages, UInt64(mapBytes / file.pageSize))
        return (0..<2).compactMap { slot in
            var page = [UInt8](repeating: 0, count: file.pageSize)
            return page.withUnsafeMutableBytes { page in
                file.read(UInt64(slot), into: page)
                    ? MetaPage(UnsafeRawBufferPointer(page), slot: slot, pageLimit: limit) : nil
            }
        }
    }

    /// Whether LMDB may trust all of it.
    private func isSound(_ file: PageFile, _ metas: [MetaPage]) -> Bool {
        guard metas.count == 2, metas.allSatisfy({ $0.problem == nil }), let newest = newest(metas) else {
            return false
        }
        let walk = StoreWalk(file, newest, known: known) { _, _, _ in }
        walk.run()
        return walk.problems.isEmpty
    }

    /// The meta page of the last transaction, when both agree that it is: they are written in turn.
    private func newest(_ metas: [MetaPage]) -> MetaPage? {
        guard metas.count == 2 else { return nil }
        let (even, odd) = (metas[0], metas[1])
        if even.transaction == 0, odd.transaction == 0 { return even }
        let (low, high) = even.transaction < odd.transaction ? (even, odd) : (odd, even)
        return low.transaction &+ 1 == high.transaction ? high : nil
    }

    // MARK: Salvage

    /// What a walk from one of the two metas finds.
    private struct Find {
        let meta: MetaPage
        let intact: UInt64
        let problems: ProblemList
        let lastFreeing: UInt64
        /// Whether nothing was written after it (``Environment/settle()``).
        let isSettled: Bool

        /// The transaction as the tree itself shows it, else as the meta has it.
        var age: UInt64 { problems.isEmpty && lastFreeing > 0 ? lastFreeing : meta.transaction }
    }

    private func find(_ file: PageFile, _ meta: MetaPage) -> Find {
        var isSettled = false
        let walk = StoreWalk(file, meta, known: known) { table, key, _ in
            if table == FreshStore.ownTable, key.elementsEqual(FreshStore.settledKey) { isSettled = true }
        }
        walk.run()
        return Find(
            meta: meta, intact: walk.tallies.values.reduce(0) { $0 + $1.intact }, problems: walk.problems,
            lastFreeing: walk.lastFreeing, isSettled: isSettled)
    }

    private func salvage(_ file: PageFile, _ metas: [MetaPage], refuses: Bool) throws(StorageError) {
        var problems: [String] = metas.compactMap { meta in meta.problem.map { "meta page \(meta.slot): \($0)" } }
        if metas.count < 2 { problems.append("the file ends after \(file.length) bytes") }
        if problems.isEmpty, newest(metas) == nil { problems.append("the meta pages are not of transactions in turn") }
        let limit = max(file.pages, UInt64(mapBytes / file.pageSize))
        let finds = metas.filter { $0.lastPage >= 1 && $0.lastPage < limit }.map { find(file, $0) }
            .sorted { $0.age > $1.age }
        // Of a closed store both have everything.
        let whole = finds.first { $0.problems.isEmpty && $0.isSettled }
        let chosen = whole ?? finds.first { $0.intact > 0 } ?? finds.first
        let other = finds.first { $0.meta.slot != chosen?.meta.slot }
        problems += chosen?.problems.texts ?? []
        if problems.isEmpty { problems += finds.flatMap(\.problems.texts) }
        guard let chosen, chosen.intact > 0 || !refuses else {
            guard !refuses else {
                throw .corrupt("nothing in it can be read: " + (problems.first ?? "no entry is left"))
            }
            return try replace(problems, by: nil, isLatest: false, file)
        }
        let agreed = newest(metas).map { $0.slot == chosen.meta.slot } ?? false
        let isLatest =
            (agreed && metas.allSatisfy { $0.problem == nil })
            || (other.map { $0.problems.isEmpty && $0.age < chosen.age && chosen.problems.isEmpty } ?? false)
        try replace(problems, by: chosen.meta, isLatest: isLatest, file)
    }

    /// Writes what the tree of `meta` has into a fresh store, which takes the place of the damaged one.
    private func replace(
        _ problems: [String], by meta: MetaPage?, isLatest: Bool, _ file: PageFile
    ) throws(StorageError) {
        let fresh = try FreshStore(folder: folder, mapBytes: mapBytes)
        var remainders: [StoreDamage.Remainder] = []
        var mayBeOlder = !isLatest
        if let meta {
            var isSettled = false
            var isPending = false
            let walk = StoreWalk(file, meta, known: known) { table, key, stored in
                guard table == FreshStore.ownTable else { return fresh.add(table, key, stored: stored) }
                isSettled = isSettled || key.elementsEqual(FreshStore.settledKey)
                isPending = isPending || key.elementsEqual(FreshStore.originKey)
            }
            walk.run()
            // Nothing came after a settled state. What follows from an earlier loss, and was not done yet, follows from
            // this one too.
            mayBeOlder = (mayBeOlder && !isSettled) || walk.mayBeOlder || isPending
            for table in tables.sorted(by: { $0.name < $1.name }) {
                let tally = walk.tallies[table]
                let kept = try fresh.count(table)
                // A note that no file of this size can bear out is damaged too.
                let noted = tally?.noted.flatMap { $0 <= UInt64(file.length) / 8 ? $0 : nil }
                remainders.append(.init(table: table.name, kept: kept, noted: noted))
            }
        } else {
            remainders = tables.map { .init(table: $0.name, kept: 0, noted: nil) }
        }
        let kept = keptName()
        let damage = StoreDamage(
            problems: problems, tables: remainders, mayBeOlder: mayBeOlder, file: folder + "/" + kept)
        try fresh.place(.salvaged(damage), keeping: kept)
    }

    /// A name that says what the file is, and that is not in use.
    private func keptName() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        func two(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
        let date =
            "\(parts.tm_year + 1900)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))-\(two(parts.tm_hour))"
            + "\(two(parts.tm_min))\(two(parts.tm_sec))"
        var name = "damaged-\(date).mdb"
        var number = 1
        while access(folder + "/" + name, F_OK) == 0 {
            number += 1
            name = "damaged-\(date)-\(number).mdb"
        }
        return name
    }
}
