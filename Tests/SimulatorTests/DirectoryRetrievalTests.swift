import Testing

@testable import Simulator

struct DirectoryRetrievalTests {
    @Test("a proportion's interval holds it and is never empty")
    func wilson() {
        let all = Proportion(successes: 100, trials: 100)
        #expect(all.interval.high > 0.9999)
        #expect(all.interval.low > 0.96 && all.interval.low < 0.97)
    }
}
