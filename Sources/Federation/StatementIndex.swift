import Primitives

/// The measurements that are in the store, by what they are of and by name, in 56 bytes each.
struct StatementIndex: Sendable {
    struct Place: Hashable, Comparable, Sendable {
        let epoch: UInt64
        let cluster: VerifyingKey

        static func < (left: Place, right: Place) -> Bool { (left.epoch, left.cluster) < (right.epoch, right.cluster) }
    }

    private struct Entry: Equatable, Sendable {
        let place: Place
        let name: UInt64
    }

    private var entries: [Entry] = []
    /// Numbers of the entries, ascending by place.
    private var byPlace: [UInt32] = []
    /// The same, ascending by name.
    private var byName: [UInt32] = []

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    /// Ascending.
    var names: [UInt64] { byName.map { entry($0).name } }

    func contains(_ place: Place) -> Bool {
        let found = StatementIndex.position(byPlace) { entry($0).place < place }
        return found < byPlace.count && entry(byPlace[found]).place == place
    }

    /// What a statement is of, by its name.
    subscript(name: UInt64) -> Place? {
        let found = StatementIndex.position(byName) { entry($0).name < name }
        guard found < byName.count, entry(byName[found]).name == name else { return nil }
        return entry(byName[found]).place
    }

    /// The clusters of which an epoch's statement is there.
    func clusters(_ epoch: UInt64) -> [VerifyingKey] {
        entries.compactMap { $0.place.epoch == epoch ? $0.place.cluster : nil }
    }

    /// Adds a statement, unless there is one of its place.
    mutating func insert(_ place: Place, name: UInt64) {
        guard !contains(place) else { return }
        let number = UInt32(truncatingIfNeeded: entries.count)
        entries.reserveOneMore()
        byPlace.reserveOneMore()
        byName.reserveOneMore()
        byPlace.insert(number, at: StatementIndex.position(byPlace) { entry($0).place < place })
        byName.insert(number, at: StatementIndex.position(byName) { entry($0).name < name })
        entries.append(Entry(place: place, name: name))
    }

    /// Forgets those of earlier epochs.
    /// - Returns: what they were of.
    mutating func removeAll(before epoch: UInt64) -> [Place] {
        guard let first = byPlace.first, entry(first).place.epoch < epoch else { return [] }
        let old = entries.map(\.place).filter { $0.epoch < epoch }
        let left = entries.filter { $0.place.epoch >= epoch }
        self = StatementIndex()
        for entry in left { insert(entry.place, name: entry.name) }
        return old
    }

    private func entry(_ number: UInt32) -> Entry { entries[Int(number)] }

    /// How many of an ordered list come before something.
    private static func position(_ numbers: [UInt32], _ isBefore: (UInt32) -> Bool) -> Int {
        var low = 0
        var high = numbers.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(numbers[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension StatementIndex: Equatable {
    /// Whether both have the same, in whatever order it came.
    static func == (left: StatementIndex, right: StatementIndex) -> Bool {
        left.byPlace.elementsEqual(right.byPlace) { left.entry($0) == right.entry($1) }
    }
}
