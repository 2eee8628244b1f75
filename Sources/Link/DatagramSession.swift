import Primitives
import Wire

/// A handshake that waits for its other message, with shared ownership. Never changed: its users work on a copy.
final class WaitingHandshake: Sendable {
    private let state: NoiseHandshake
    init(_ state: consuming NoiseHandshake) { self.state = state }
    func copy() -> NoiseHandshake { state.copy() }
}

/// An established datagram session.
struct DatagramSession: Sendable {
    /// Messages of one direction under one key; far below what ChaCha20-Poly1305 bears.
    static let messageLimit: UInt64 = 1 << 48

    let peer: X25519PublicKey
    /// Where the handshake took place: who uses the session has received there what it takes. `nil` when the second
    /// message went to several addresses.
    var address: SocketAddress?
    /// The peer's index of this session.
    let remoteIndex: UInt32
    let created: Timestamp
    private let sending: SharedSecret
    private let receiving: SharedSecret
    private var nextCounter: UInt64 = 0
    private var window = ReplayWindow()

    init(
        peer: X25519PublicKey, address: SocketAddress, remoteIndex: UInt32, created: Timestamp,
        keys: borrowing NoiseKeys, role: NoiseHandshake.Role
    ) {
        self.peer = peer
        self.address = address
        self.remoteIndex = remoteIndex
        self.created = created
        let initiator = SharedSecret(keys.fromInitiator.copy())
        let responder = SharedSecret(keys.fromResponder.copy())
        sending = role == .initiator ? initiator : responder
        receiving = role == .initiator ? responder : initiator
    }

    /// A whole transport datagram.
    mutating func seal(_ payload: TransportPayload) throws(LinkError) -> [UInt8] {
        guard nextCounter < DatagramSession.messageLimit else { throw .exhausted }
        let counter = nextCounter
        nextCounter += 1
        var writer = Writer(capacity: Limits.datagramSize)
        writer.uint8(DatagramFormat.transport)
        writer.uint32(remoteIndex)
        writer.uint64(counter)
        payload.encode(&writer)
        // Up to the tag zeros are part of the content.
        writer.pad(to: Limits.datagramSize)
        var datagram = writer.finish()
        datagram.withUnsafeMutableBytes { raw in
            let start = DatagramFormat.transportHeader
            let header = UnsafeRawBufferPointer(rebasing: raw[..<start])
            let sealed = UnsafeMutableRawBufferPointer(rebasing: raw[start...])
            sending.withUnsafeBytes { ChaChaPoly.seal(sealed, key: $0, counter: counter, associated: header) }
        }
        return datagram
    }

    /// The content of a transport datagram of this session, once.
    /// - Parameter content: room for it, kept by the caller from one datagram to the next.
    mutating func open(_ datagram: [UInt8], room content: inout [UInt8]) throws(LinkError) -> TransportPayload {
        let start = DatagramFormat.transportHeader
        guard datagram.count == Limits.datagramSize else { throw .malformed }
        let counter = (0..<8).reduce(UInt64(0)) { $0 | UInt64(datagram[5 + $1]) << (8 * UInt64($1)) }
        guard counter < DatagramSession.messageLimit else { throw .malformed }
        guard window.admits(counter) else { throw .replayed }
        content.removeAll(keepingCapacity: true)
        content.append(contentsOf: datagram[start...])
        var failure: LinkError?
        content.withUnsafeMutableBytes { raw in
            datagram.withUnsafeBytes { datagram in
                let header = UnsafeRawBufferPointer(rebasing: datagram[..<start])
                receiving.withUnsafeBytes { key in
                    do throws(LinkError) {
                        try ChaChaPoly.open(raw, key: key, counter: counter, associated: header)
                    } catch {
                        failure = error
                    }
                }
            }
        }
        if let failure { throw failure }
        window.insert(counter)
        content.removeLast(ChaChaPoly.tagSize)
        do throws(WireError) { return try TransportPayload(decoding: content) } catch { throw .malformed }
    }
}
