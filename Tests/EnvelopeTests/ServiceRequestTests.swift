import Primitives
import Testing
import Wire

@testable import Envelope

@Suite struct ServiceRequestTests {
    private func blocks(_ count: Int, _ entropy: inout Entropy) throws -> [ReplyBlock] {
        let path = Path(4, &entropy)
        var blocks: [ReplyBlock] = []
        for _ in 0..<count {
            blocks.append(
                try ReplyBlock.make(
                    path: path.hops, handle: entropy.bytes(), id: entropy.bytes(), entropy: &entropy
                ).block)
        }
        return blocks
    }

    @Test("a request with the longest body beside its reply blocks fits one envelope", arguments: 0...3)
    func roundTrip(count: Int) throws {
        var entropy = Entropy(seed: UInt64(count))
        for service in [Service.directory, .home] {
            let body = entropy.array(ServiceRequest.bodyLimit(replyBlocks: count))
            let request = ServiceRequest(service: service, replyBlocks: try blocks(count, &entropy), body: body)
            let encoded = request.encode()
            #expect(encoded.count == Geometry.contentSize)
            #expect(Array(encoded[0..<2]) == [service.rawValue, UInt8(count)])
            #expect(try ServiceRequest(decoding: encoded) == request)
        }
    }

    @Test("a request that is cut inside its head or a reply block is refused")
    func truncation() throws {
        var entropy = Entropy(seed: 4)
        let request = ServiceRequest(service: .home, replyBlocks: try blocks(3, &entropy), body: [])
        let encoded = request.encode()
        for size in 0..<encoded.count {
            #expect(throws: WireError.self) { try ServiceRequest(decoding: Array(encoded[0..<size])) }
        }
    }

    @Test("a request of an unknown service, or with more reply blocks than allowed, is refused")
    func unknown() throws {
        for service in UInt8.min...UInt8.max where Service(rawValue: service) == nil {
            #expect(throws: WireError.self) { try ServiceRequest(decoding: [service, 0]) }
        }
        for count in UInt8(4)...UInt8.max {
            let bytes = [1, count] + [UInt8](repeating: 0, count: Int(count) * ReplyBlock.encodedSize)
            #expect(throws: WireError.outOfRange(field: "replyBlocks")) { try ServiceRequest(decoding: bytes) }
        }
    }

    @Test("reply keys of no hop or of more than five, or cut anywhere, are refused")
    func replyKeys() throws {
        var entropy = Entropy(seed: 5)
        for hops in UInt8.min...UInt8.max {
            var reader = Reader(entropy.array(32) + [hops] + entropy.array(Int(hops) * 32))
            if (1...5).contains(hops) {
                _ = try ReplyKeys(&reader)
            } else {
                #expect(throws: WireError.outOfRange(field: "hops")) { try ReplyKeys(&reader) }
            }
        }
        let encoded = entropy.array(32) + [5] + entropy.array(160)
        for size in 0..<encoded.count {
            var reader = Reader(Array(encoded[0..<size]))
            #expect(throws: WireError.self) { try ReplyKeys(&reader) }
        }
    }

    @Test("a payload of any other size is no content and no reply")
    func payloadSizes() throws {
        var entropy = Entropy(seed: 6)
        let path = Path(2, &entropy)
        let keys = try ReplyBlock.make(path: path.hops, handle: Bytes16(), id: Bytes16(), entropy: &entropy).keys
        for size in [0, 1, 31, 32, 33, 34, 2047, 2049, 2608] {
            let block = [UInt8](repeating: 0, count: size)
            let error = EnvelopeError.wrongSize(expected: Geometry.payloadSize, actual: size)
            #expect(throws: error) { try Payload.content(of: block) }
            #expect(throws: error) { try keys.open(block) }
        }
    }
}
