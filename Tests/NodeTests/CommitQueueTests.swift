import Storage
import Testing
import Wire

@testable import Node

private let table = Table("table")

extension CommitQueue<String> {
    /// A turn in which a core writes so many entries and then wants something done.
    fileprivate mutating func turn(
        _ part: Part, writes: Int, _ effect: String, isUrgent: Bool = false
    ) throws -> Bool {
        var store = BufferedStore(MemoryStore(), sealed: sealed, open: takeOpen())
        for number in 0..<writes { try store.put(table, [UInt8(truncatingIfNeeded: number)], []) }
        if writes > 0 { noteWrite(of: part, isUrgent: isUrgent) }
        giveBack(store.finish())
        return admit(effect, of: part)
    }
}

@Suite("Commits in batches")
struct CommitQueueTests {
    private let start = Timestamp(milliseconds: 1_000_000)

    private func later(_ milliseconds: UInt64) -> Timestamp { start.adding(milliseconds: milliseconds) }

    @Test("the first write after a rest goes to disk at once, the next ones together 200 ms later")
    func interval() throws {
        var queue = CommitQueue<String>()
        #expect(queue.seal(start) == nil)
        #expect(try !queue.turn(.directory, writes: 1, "first"))
        #expect(queue.seal(start)?.operations == 1)
        #expect(try !queue.turn(.directory, writes: 2, "second"))
        #expect(queue.committed() == ["first"])
        #expect(try !queue.turn(.directory, writes: 3, "third"))
        #expect(queue.due == later(200))
        #expect(queue.seal(later(199)) == nil)
        #expect(queue.seal(later(200))?.operations == 5)
        #expect(queue.committed() == ["second", "third"])
        #expect(queue.isEmpty)
    }

    @Test("256 operations do not wait, nor what somebody waits for, nor a clock that was set back")
    func triggers() throws {
        var queue = CommitQueue<String>()
        _ = try queue.turn(.map, writes: 1, "")
        _ = queue.seal(start)
        _ = queue.committed()
        _ = try queue.turn(.directory, writes: 255, "")
        #expect(queue.seal(later(1)) == nil)
        _ = try queue.turn(.directory, writes: 1, "")
        #expect(queue.seal(later(1)) != nil)
        _ = queue.committed()
        _ = try queue.turn(.home, writes: 1, "", isUrgent: true)
        #expect(queue.seal(later(2)) != nil)
        _ = queue.committed()
        _ = try queue.turn(.directory, writes: 1, "")
        #expect(queue.seal(Timestamp(milliseconds: 1)) != nil)
    }

    @Test("one batch is written at a time, and each core's effects wait for its own last write, in their order")
    func order() throws {
        var queue = CommitQueue<String>()
        #expect(try queue.turn(.home, writes: 0, "no write before"))
        #expect(try !queue.turn(.directory, writes: 1, "a"))
        #expect(queue.seal(start) != nil)
        #expect(try queue.turn(.home, writes: 0, "another core's write"))
        #expect(try !queue.turn(.directory, writes: 0, "b"))
        #expect(try !queue.turn(.directory, writes: 1, "c"))
        #expect(try !queue.turn(.home, writes: 1, "d", isUrgent: true))
        #expect(queue.seal(later(500)) == nil)
        #expect(queue.committed() == ["a", "b"])
        #expect(queue.seal(later(500)) != nil)
        #expect(queue.committed() == ["c", "d"])
        #expect(try queue.turn(.directory, writes: 0, "all is on disk"))
    }

    @Test("after a failed commit nothing of the batch remains, nor of what built on it")
    func failure() throws {
        var queue = CommitQueue<String>()
        _ = try queue.turn(.directory, writes: 1, "lost")
        _ = queue.seal(start)
        _ = try queue.turn(.directory, writes: 1, "lost too")
        #expect(queue.failed() == ["lost", "lost too"])
        #expect(queue.isEmpty && queue.sealed.isEmpty)
        #expect(queue.committed().isEmpty)
        #expect(try queue.turn(.directory, writes: 0, "the core goes on"))
    }

    @Test("a turn that fails takes with it what gathered, and not what is on its way")
    func failedTurn() throws {
        var queue = CommitQueue<String>()
        _ = try queue.turn(.directory, writes: 1, "on its way")
        _ = queue.seal(start)
        _ = try queue.turn(.directory, writes: 1, "lost")
        _ = queue.takeOpen()
        #expect(queue.discardOpen() == ["lost"])
        #expect(try !queue.turn(.directory, writes: 0, "after it"))
        #expect(queue.committed() == ["on its way", "after it"])
        #expect(queue.isEmpty)
    }

    @Test("a disk that is far behind shows")
    func backlog() throws {
        var queue = CommitQueue<String>()
        _ = try queue.turn(.directory, writes: CommitQueue<String>.backlogLimit - 1, "")
        #expect(!queue.isBehind)
        _ = try queue.turn(.directory, writes: 1, "")
        #expect(queue.isBehind)
    }
}
