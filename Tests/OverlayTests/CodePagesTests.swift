import Testing

@testable import Node

@Suite("Code pages")
struct CodePagesTests {
    @Test("code that was let go of still runs, and something was let go of")
    func release() {
        #expect(CodePages.release() > 1_000_000)
        #expect((1...1000).map { String($0) }.joined().count == 2893)
        #expect(CodePages.release() > 1_000_000)
    }
}
