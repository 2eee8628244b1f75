import Primitives
import Wire

/// Layouts and sizes of datagrams. Spec: specs/link.md, section 5.
///
/// - initiation (1232): 1 ‖ sender index 4 ‖ Noise_IK message 1 ‖ mac1 16 ‖ mac2 16
/// - response (1232): 2 ‖ receiver index 4 ‖ Noise_IK message 2
/// - cookie reply (61): 3 ‖ receiver index 4 ‖ nonce 24 ‖ sealed cookie 32
/// - transport (1232): 4 ‖ receiver index 4 ‖ counter 8 ‖ sealed content
enum DatagramFormat {
    static let initiation: UInt8 = 1
    static let response: UInt8 = 2
    static let cookieReply: UInt8 = 3
    static let transport: UInt8 = 4

    static let macSize = 16
    static let indexSize = 1 + 4
    static let initiationPayload =
        Limits.datagramSize - indexSize - NoisePattern.ik.firstOverhead - 2 * macSize
    static let responsePayload = Limits.datagramSize - indexSize - NoisePattern.secondOverhead
    static let cookieReplySize = indexSize + Bytes24.count + macSize + XChaChaPoly.tagSize
    static let transportHeader = indexSize + 8
    static let transportPayload = Limits.datagramSize - transportHeader - ChaChaPoly.tagSize
    /// The initiation has the least room: timestamp 8, request id 16 and length 2 go before the body.
    static let bodyLimit = initiationPayload - 8 - Bytes16.count - 2

    static func prologue(senderIndex: UInt32) -> [UInt8] {
        var writer = Writer()
        writer.append("hulda/datagram/1".utf8)
        writer.uint32(senderIndex)
        return writer.bytes
    }

    /// The type and index that begin every datagram.
    static func header(_ type: UInt8, _ index: UInt32) -> [UInt8] {
        var writer = Writer(capacity: Limits.datagramSize)
        writer.uint8(type)
        writer.uint32(index)
        return writer.bytes
    }

    static func index(_ datagram: [UInt8]) -> UInt32 {
        guard datagram.count >= indexSize else { return 0 }
        return (1...4).reduce(0) { $0 | UInt32(datagram[$1]) << (8 * UInt32($1 - 1)) }
    }

    /// Keyed BLAKE2b with an output of 16 bytes over the first `count` bytes.
    static func mac(_ datagram: [UInt8], first count: Int, key: UnsafeRawBufferPointer, _ domain: Domain) -> Bytes16 {
        Bytes16(unsafe: { out in
            datagram.withUnsafeBytes { raw in
                BLAKE2b.hash(
                    into: out, UnsafeRawBufferPointer(rebasing: raw[0..<min(count, raw.count)]), key: key,
                    domain: domain)
            }
        })
    }
}

/// The plaintext of an initiation.
struct InitiationPayload: Sendable {
    var timestamp: Timestamp
    var requestID: Bytes16
    var body: [UInt8]

    func encode() -> [UInt8] {
        var writer = Writer(capacity: DatagramFormat.initiationPayload)
        writer.uint64(timestamp.milliseconds)
        writer.fixed(requestID)
        writer.prefixed(body)
        writer.pad(to: DatagramFormat.initiationPayload)
        return writer.bytes
    }

    init(timestamp: Timestamp, requestID: Bytes16, body: [UInt8]) {
        self.timestamp = timestamp
        self.requestID = requestID
        self.body = body
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        timestamp = Timestamp(milliseconds: try reader.uint64())
        requestID = try reader.fixed()
        body = try reader.prefixed(limit: DatagramFormat.bodyLimit, field: "request")
    }
}

/// The plaintext of a response.
struct ResponsePayload: Sendable {
    var senderIndex: UInt32
    var body: [UInt8]

    func encode() -> [UInt8] {
        var writer = Writer(capacity: DatagramFormat.responsePayload)
        writer.uint32(senderIndex)
        writer.prefixed(body)
        writer.pad(to: DatagramFormat.responsePayload)
        return writer.bytes
    }

    init(senderIndex: UInt32, body: [UInt8]) {
        self.senderIndex = senderIndex
        self.body = body
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        senderIndex = try reader.uint32()
        body = try reader.prefixed(limit: DatagramFormat.bodyLimit, field: "answer")
    }
}

/// The plaintext of a transport datagram.
struct TransportPayload: Sendable {
    enum Kind: UInt8, Sendable {
        case request = 1
        case answer = 2
    }
    var kind: Kind
    var requestID: Bytes16
    var body: [UInt8]

    /// Without the zeros that follow.
    func encode(_ writer: inout Writer) {
        writer.uint8(kind.rawValue)
        writer.fixed(requestID)
        writer.prefixed(body)
    }

    init(kind: Kind, requestID: Bytes16, body: [UInt8]) {
        self.kind = kind
        self.requestID = requestID
        self.body = body
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let raw = try reader.uint8()
        guard let kind = Kind(rawValue: raw) else { throw .unknownKind(raw) }
        self.kind = kind
        requestID = try reader.fixed()
        body = try reader.prefixed(limit: DatagramFormat.bodyLimit, field: "body")
    }
}
