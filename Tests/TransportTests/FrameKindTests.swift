import Testing

@testable import Transport

@Suite("A stream frame")
struct FrameKindTests {
    @Test("is of a kind only with a body of that kind's size")
    func sizes() {
        let sizes: [(UInt8, ClosedRange<Int>)] = [
            (1, 2608...2608), (2, 1...2608), (3, 32...32), (4, 16...16), (5, 2064...2064), (6, 0...2612),
        ]
        for (kind, admitted) in sizes {
            for size in 0...2612 {
                let frame = FrameKind(kind, body: [UInt8](repeating: 1, count: size))
                #expect((frame?.rawValue == kind) == admitted.contains(size), "kind \(kind), \(size) bytes")
            }
        }
        for kind in [0, 7, 255] as [UInt8] { #expect(FrameKind(kind, body: [1]) == nil) }
    }
}
