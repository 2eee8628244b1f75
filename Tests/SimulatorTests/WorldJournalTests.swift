import Primitives
import Testing
import Wire

@testable import Simulator

@Suite struct WorldJournalTests {
    private static func tags(_ journal: WorldJournal) -> [UInt8] { journal.written.map { $0.tag.bytes[0] } }

    private static func append(_ number: UInt8, to journal: inout WorldJournal) throws {
        let tag = try #require(Bytes16([number] + [UInt8](repeating: 0, count: 15)))
        journal.append((epoch: 20_000 + UInt64(number), tag), ticket: UInt64(number))
    }

    @Test("what comes while a transaction is under way makes up the next, after one that failed and in order")
    func order() throws {
        var journal = WorldJournal()
        #expect(journal.begin() == nil)
        try WorldJournalTests.append(1, to: &journal)
        #expect(journal.begin() == 1)
        try WorldJournalTests.append(2, to: &journal)
        #expect(journal.begin() == nil)
        journal.fail()
        #expect(WorldJournalTests.tags(journal).isEmpty)
        #expect(journal.begin() == 2)
        #expect(journal.finish().map { $0.tag.bytes[0] } == [1, 2])
        #expect(WorldJournalTests.tags(journal) == [1, 2])
        journal.forget(before: 20_002)
        #expect(WorldJournalTests.tags(journal) == [2])
    }

    @Test("a crash leaves the transaction under way whole or not at all, nothing after it", arguments: [true, false])
    func crash(_ isWritten: Bool) throws {
        var journal = WorldJournal()
        try WorldJournalTests.append(1, to: &journal)
        try WorldJournalTests.append(2, to: &journal)
        _ = journal.begin()
        try WorldJournalTests.append(3, to: &journal)
        journal.crash(isWritten: isWritten)
        #expect(WorldJournalTests.tags(journal) == (isWritten ? [1, 2] : []))
        #expect(journal.begin() == nil)
    }
}
