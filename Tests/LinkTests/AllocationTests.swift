#if canImport(CAllocationCounter)
    import CAllocationCounter
    import Testing

    @testable import Link

    @Suite("Allocations of stream frames", .serialized)
    struct AllocationTests {
        @Test("sealing and opening a frame allocates nothing")
        func frames() throws {
            var pair = try StreamPair()
            let body = [UInt8](repeating: 1, count: 2608)
            var frame = [UInt8](repeating: 0, count: StreamSession.frameSize)
            var counts: [UInt] = []
            try frame.withUnsafeMutableBytes { frame in
                try body.withUnsafeBytes { body in
                    for round in 0..<110 {
                        let before = hulda_thread_allocations()
                        try pair.initiator.seal(kind: 1, body: body, into: frame)
                        _ = try pair.responder.open(frame)
                        // The first rounds may set up what is made once.
                        if round >= 10 { counts.append(UInt(hulda_thread_allocations() - before)) }
                    }
                }
            }
            #expect(counts.allSatisfy { $0 == 0 }, "\(counts.max() ?? 0) allocations")
        }
    }
#endif
