/// What a store was found to have lost when it was opened, after which what was left of it took its place.
public struct StoreDamage: Sendable, Equatable {
    /// Entries of one table.
    public struct Remainder: Sendable, Equatable {
        public var table: String
        public var kept: UInt64
        /// How many LMDB had noted; `nil` when that note is lost too.
        public var noted: UInt64?

        public init(table: String, kept: UInt64, noted: UInt64?) {
            self.table = table
            self.kept = kept
            self.noted = noted
        }

        public var lost: UInt64? { noted.map { $0 - min($0, kept) } }
    }

    /// What was wrong, in words: the first of it.
    public var problems: [String]
    /// By name.
    public var tables: [Remainder]
    /// Whether what was kept may be of a moment before the last write.
    public var mayBeOlder: Bool
    /// Where the damaged file is.
    public var file: String

    public init(problems: [String], tables: [Remainder], mayBeOlder: Bool, file: String) {
        self.problems = problems
        self.tables = tables
        self.mayBeOlder = mayBeOlder
        self.file = file
    }

    /// Whether entries of a table are lost, or may be of an earlier moment.
    public func concerns(_ table: String) -> Bool {
        guard !mayBeOlder, let found = tables.first(where: { $0.table == table }) else { return true }
        return found.lost != 0
    }

    /// Whether nothing that was stored is missing.
    public var isHarmless: Bool { !mayBeOlder && tables.allSatisfy { $0.lost == 0 } }

    /// For a person: how many entries of which table are lost.
    public var losses: String {
        var parts = tables.compactMap { table -> String? in
            switch table.lost {
            case 0: nil
            case let lost?: "\(table.table): \(lost) of \(table.noted ?? 0) entries"
            case nil: "\(table.table): nobody knows how many, \(table.kept) are left"
            }
        }
        if mayBeOlder { parts.append("perhaps the last write") }
        return parts.isEmpty ? "nothing" : parts.joined(separator: "; ")
    }
}

/// Where a store comes from that is opened.
public enum StoreOrigin: Sendable, Equatable {
    /// It is as it was left.
    case asLeft
    /// There was none, or an empty file, and nobody has acknowledged that.
    case new
    /// It was damaged, and nobody has acknowledged that.
    case salvaged(StoreDamage)
}

/// As an entry of the store's own table: lines of fields.
extension StoreOrigin {
    var text: String? {
        switch self {
        case .asLeft: return nil
        case .new: return "new"
        case .salvaged(let damage):
            var lines = ["salvaged", damage.mayBeOlder ? "older" : "same", clean(damage.file)]
            lines += damage.tables.map { table in
                "table\t\(clean(table.table))\t\(table.kept)\t\(table.noted.map { "\($0)" } ?? "")"
            }
            lines += damage.problems.map { "problem\t\(clean($0))" }
            return lines.joined(separator: "\n")
        }
    }

    init(text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 3, lines[0] == "salvaged" else {
            self = .new
            return
        }
        var damage = StoreDamage(problems: [], tables: [], mayBeOlder: lines[1] == "older", file: lines[2])
        for line in lines[3...] {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            if fields.count == 4, fields[0] == "table" {
                damage.tables.append(
                    .init(table: fields[1], kept: UInt64(fields[2]) ?? 0, noted: UInt64(fields[3])))
            } else if fields.count == 2, fields[0] == "problem" {
                damage.problems.append(fields[1])
            }
        }
        self = .salvaged(damage)
    }

    private func clean(_ text: String) -> String { String(text.map { $0 == "\t" || $0.isNewline ? " " : $0 }) }
}
