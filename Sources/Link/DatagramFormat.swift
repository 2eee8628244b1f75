import Primitives
import Wire

/// The layouts of datagrams (specs/link.md, "Datagrams").
enum DatagramFormat {
    static let initiation: UInt8 = 1
    static let response: UInt8 = 2
    static let data: UInt8 = 3
    static let cookie: UInt8 = 4

    static let macSize = 16
    /// Kind 1 ‖ zero 3 ‖ sender's index 4.
    static let initiationHeader = 8
    /// Kind 1 ‖ zero 3 ‖ sender's index 4 ‖ receiver's index 4.
    static let responseHeader = 12
    /// Kind 1 ‖ zero 3 ‖ receiver's index 4 ‖ counter 8.
    static let dataHeader = 16
    /// Kind 1 ‖ zero 3 ‖ receiver's index 4 ‖ nonce 24 ‖ sealed cookie 32.
    static let cookieSize = 64

    /// An initiation always has the size of the largest datagram, so that no answer is larger.
    static let initiationSize = Limits.datagramSize
    /// The Noise payload of an initiation: time 8 ‖ length 2 ‖ body ‖ zeros.
    static let initiationPayload =
        initiationSize - initiationHeader - NoisePattern.ik.firstOverhead - 2 * macSize
    static let bodyLimit = initiationPayload - 10
    static let prologue = Array("hulda/datagram/1".utf8)

    /// Direction and call in front of the body of a data datagram.
    static let requestMark: UInt8 = 0
    static let answerMark: UInt8 = 1
    static let markSize = 9

    static func mac1Key(_ responder: X25519PublicKey) -> SecretBytes {
        var bytes = BLAKE2b.h(Domain("hulda/mac1"), responder.bytes).bytes
        return SecretBytes(taking: &bytes)
    }

    static func cookieKey(_ responder: X25519PublicKey) -> SecretBytes {
        var bytes = BLAKE2b.h(Domain("hulda/cookie"), responder.bytes).bytes
        return SecretBytes(taking: &bytes)
    }

    static func mac(_ message: ArraySlice<UInt8>, _ key: borrowing SecretBytes, _ domain: Domain) -> Bytes16 {
        var hash = key.withUnsafeBytes { BLAKE2b(outputCount: 16, key: $0, domain: domain) }
        hash.update(Array(message))
        return hash.finalize()
    }

    static func index(_ datagram: [UInt8], at offset: Int) -> UInt32 {
        guard offset + 4 <= datagram.count else { return 0 }
        return (0..<4).reduce(0) { $0 | UInt32(datagram[offset + $1]) << UInt32(8 * $1) }
    }

    static func counter(_ datagram: [UInt8], at offset: Int) -> UInt64 {
        guard offset + 8 <= datagram.count else { return 0 }
        return (0..<8).reduce(0) { $0 | UInt64(datagram[offset + $1]) << UInt64(8 * $1) }
    }

    /// Length 2 ‖ body, padded with zeros to `size`.
    static func pad(_ body: [UInt8], to size: Int) -> [UInt8] {
        var writer = Writer(capacity: size)
        writer.prefixed(body)
        writer.pad(to: size)
        return writer.bytes
    }
}

/// A window over the counters of received datagrams, 2048 wide (RFC 6479).
struct ReplayWindow: Sendable {
    static let size: UInt64 = 2048
    private var highest: UInt64 = 0
    private var bits = [UInt64](repeating: 0, count: Int(size / 64) + 1)

    /// Whether the counter is new, without remembering it.
    func isFresh(_ counter: UInt64) -> Bool {
        if counter > highest { return true }
        guard highest - counter < ReplayWindow.size else { return false }
        return bits[slot(counter)] & 1 << (counter % 64) == 0
    }

    /// Remembers a counter whose datagram was authentic.
    mutating func accept(_ counter: UInt64) {
        if counter > highest {
            let first = highest / 64
            let steps = min(counter / 64 - first, UInt64(bits.count))
            for step in 0..<steps { bits[slot((first + step + 1) * 64)] = 0 }
            highest = counter
        }
        bits[slot(counter)] |= 1 << (counter % 64)
    }

    private func slot(_ counter: UInt64) -> Int { Int(counter / 64 % UInt64(bits.count)) }
}

/// What an endpoint received and refused, since the start.
public struct DatagramCounters: Equatable, Sendable {
    public var handshakes: UInt64 = 0
    public var requests: UInt64 = 0
    public var answers: UInt64 = 0
    /// Wrong size, kind, index or reserved bytes.
    public var malformed: UInt64 = 0
    /// A tag or MAC does not fit.
    public var unauthenticated: UInt64 = 0
    public var replayed: UInt64 = 0
    /// An initiation whose time is far from this clock's.
    public var outdated: UInt64 = 0
    /// Initiations that were told to prove their address.
    public var cookiesSent: UInt64 = 0
    /// Requests dropped because too many wait for their answer.
    public var overloaded: UInt64 = 0
    public var retries: UInt64 = 0
    public var failures: UInt64 = 0

    public init() {}
}
