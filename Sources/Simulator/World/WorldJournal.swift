import Primitives

/// A relay's journal of replay tags, as the node's: one transaction at a time, and what comes meanwhile makes up the next.
/// A tag counts as written when its transaction is done; one that was under way when the process ended is on disk whole,
/// or not at all.
struct WorldJournal {
    typealias Entry = (epoch: UInt64, tag: Bytes16)

    private(set) var written: [Entry] = []
    private var committing: [Entry] = []
    private var waiting: [Entry] = []
    private var lastTicket: UInt64 = 0

    mutating func append(_ entry: Entry, ticket: UInt64) {
        waiting.append(entry)
        lastTicket = ticket
    }

    /// Begins a transaction with all that waits.
    /// - Returns: the last ticket in it; `nil` when there is nothing to do, or one is under way.
    mutating func begin() -> UInt64? {
        guard committing.isEmpty, !waiting.isEmpty else { return nil }
        committing = waiting
        waiting = []
        return lastTicket
    }

    /// - Returns: what is on disk now.
    mutating func finish() -> [Entry] {
        defer { committing = [] }
        written += committing
        return committing
    }

    /// Nothing of the transaction is on disk. Tickets are released in order, so its tags come before any later one.
    mutating func fail() {
        waiting = committing + waiting
        committing = []
    }

    /// The process ends.
    mutating func crash(isWritten: Bool) {
        if isWritten { written += committing }
        committing = []
        waiting = []
    }

    mutating func forget(before epoch: UInt64) { written.removeAll { $0.epoch < epoch } }
}
