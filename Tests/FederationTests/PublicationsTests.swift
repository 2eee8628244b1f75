import Federation
import Primitives
import Records
import Storage
import Testing
import Wire

@Suite("What a server says of itself")
struct PublicationsTests {
    private let start = Timestamp(seconds: 20_000 * 86_400)

    @Test("is published again until it is on disk, the cluster's first, and a newer one takes its place")
    func retries() {
        var waiting = Publications()
        #expect(waiting.due == nil && waiting.take(start).isEmpty)
        waiting.add([1], of: .server, now: start)
        waiting.add([2], of: .cluster, now: start)
        #expect(waiting.take(start) == [[2], [1]])
        #expect(waiting.take(start.adding(milliseconds: Publications.retry - 1)).isEmpty)
        waiting.settle([2])
        let later = start.adding(milliseconds: Publications.retry)
        #expect(waiting.due == later && waiting.take(later) == [[1]])
        waiting.add([3], of: .server, now: later)
        // That an older one reached the disk after all settles nothing.
        waiting.settle([1])
        #expect(waiting.count == 1 && waiting.take(later) == [[3]])
        waiting.settle([3])
        #expect(waiting.count == 0 && waiting.due == nil)
    }

    @Test("does not wait for a moment of a clock that has gone back")
    func clock() {
        var waiting = Publications()
        waiting.add([1], of: .server, now: start)
        #expect(waiting.take(start).count == 1)
        #expect(waiting.take(start.earlier(by: 86_400_000)) == [[1]])
        #expect(waiting.due == start.earlier(by: 86_400_000).adding(milliseconds: Publications.retry))
    }
}
