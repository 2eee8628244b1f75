import LMDB

/// What an agent's store had lost when it was opened.
public struct AgentDamage: Sendable, Equatable {
    /// Entries that are missing, by table; `nil` when nobody knows of which tables they were.
    public let lost: [String: Int]?
    /// Entries that are missing; `nil` when nobody knows how many they were.
    public let entries: UInt64?
    /// Whether what was kept may be of a moment before the last write.
    public let mayBeOlder: Bool
    /// What was wrong with the file, in words.
    public let problem: String
    /// Where the damaged file is.
    public let file: String

    init(_ damage: StoreDamage, lost: [String: Int]?) {
        self.lost = lost
        entries = damage.tables.first { $0.table == SealedStore.table.name }.flatMap(\.lost)
        mayBeOlder = damage.mayBeOlder
        problem = damage.problems.first ?? "nobody knows what"
        file = damage.file
    }

    /// Whether nothing that was stored is missing.
    public var isHarmless: Bool { (lost.map(\.isEmpty) ?? (entries == 0)) && !mayBeOlder }
}
