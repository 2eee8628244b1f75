import Testing

@testable import Node

@Suite("A backlog")
struct BacklogTests {
    @Test("takes so many and no more, from several threads at once too, and has room again for each that left")
    func bounds() async {
        let backlog = Backlog(limit: 100)
        let entered = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask { (0..<50).count { _ in backlog.enter() } }
            }
            return await group.reduce(0, +)
        }
        #expect(entered == 100 && backlog.count == 100)
        #expect(!backlog.enter())
        for _ in 0..<3 { backlog.leave() }
        #expect(backlog.count == 97)
        #expect((0..<10).count { _ in backlog.enter() } == 3)
    }
}
