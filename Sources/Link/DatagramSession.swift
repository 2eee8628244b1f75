import Primitives
import Wire

/// The keys between two servers over UDP.
final class DatagramSession {
    /// Milliseconds after which a session is replaced.
    static let lifetime: UInt64 = 600_000
    private static let counterLimit: UInt64 = 1 << 60

    let remoteIndex: UInt32
    let peer: X25519PublicKey
    let created: Timestamp
    /// Where the last authentic datagram came from.
    var address: SocketAddress
    private let sendKey: SecretBytes
    private let receiveKey: SecretBytes
    private var sendCounter: UInt64 = 0
    private var window = ReplayWindow()

    init(
        _ keys: consuming TransportKeys, isInitiator: Bool, remoteIndex: UInt32, peer: X25519PublicKey,
        address: SocketAddress, now: Timestamp
    ) {
        self.remoteIndex = remoteIndex
        self.peer = peer
        self.address = address
        created = now
        sendKey = isInitiator ? keys.initiator.copy() : keys.responder.copy()
        receiveKey = isInitiator ? keys.responder.copy() : keys.initiator.copy()
    }

    func isUsable(at now: Timestamp) -> Bool {
        now.milliseconds(since: created) < DatagramSession.lifetime && sendCounter < DatagramSession.counterLimit
    }

    /// A data datagram: mark 1 ‖ call 8 ‖ body, sealed under the counter.
    func seal(mark: UInt8, call: UInt64, body: [UInt8]) -> [UInt8] {
        sendCounter += 1
        var header = Writer(capacity: DatagramFormat.dataHeader)
        header.uint8(DatagramFormat.data)
        header.pad(to: 4)
        header.uint32(remoteIndex)
        header.uint64(sendCounter)
        var content = Writer(capacity: body.count + 32)
        content.uint8(mark)
        content.uint64(call)
        content.append(body)
        var sealed = content.bytes + [UInt8](repeating: 0, count: ChaChaPoly.tagSize)
        let associated = header.bytes
        sealed.withUnsafeMutableBytes { sealed in
            sendKey.withUnsafeBytes { key in
                LinkNonce.with(sendCounter) { nonce in
                    associated.withUnsafeBytes { ChaChaPoly.seal(sealed, key: key, nonce: nonce, associated: $0) }
                }
            }
        }
        return header.bytes + sealed
    }

    enum Refusal: Error {
        case malformed
        case replayed
        case unauthenticated
    }

    func open(_ datagram: [UInt8]) throws(Refusal) -> (mark: UInt8, call: UInt64, body: [UInt8]) {
        let counter = DatagramFormat.counter(datagram, at: 8)
        guard datagram.count >= DatagramFormat.dataHeader + DatagramFormat.markSize + ChaChaPoly.tagSize else {
            throw .malformed
        }
        guard counter > 0, window.isFresh(counter) else { throw .replayed }
        let associated = Array(datagram[0..<DatagramFormat.dataHeader])
        var plain = Array(datagram[DatagramFormat.dataHeader...])
        var isAuthentic = false
        plain.withUnsafeMutableBytes { plain in
            receiveKey.withUnsafeBytes { key in
                LinkNonce.with(counter) { nonce in
                    associated.withUnsafeBytes { associated in
                        do throws(PrimitiveError) {
                            try ChaChaPoly.open(plain, key: key, nonce: nonce, associated: associated)
                            isAuthentic = true
                        } catch {
                            isAuthentic = false
                        }
                    }
                }
            }
        }
        guard isAuthentic else { throw .unauthenticated }
        window.accept(counter)
        plain.removeLast(ChaChaPoly.tagSize)
        let call = DatagramFormat.counter(plain, at: 1)
        return (plain[0], call, Array(plain[DatagramFormat.markSize...]))
    }
}

/// A handshake that waits: for the peer's response, or for the own server's answer.
final class PendingHandshake {
    private var handshake: NoiseHandshake?
    let remoteIndex: UInt32
    let peer: X25519PublicKey
    let address: SocketAddress
    let started: Timestamp
    /// The MAC of the initiation, to which a cookie reply is bound.
    let mac1: Bytes16

    init(
        _ handshake: consuming NoiseHandshake, remoteIndex: UInt32, peer: X25519PublicKey, address: SocketAddress,
        started: Timestamp, mac1: Bytes16
    ) {
        self.handshake = consume handshake
        self.remoteIndex = remoteIndex
        self.peer = peer
        self.address = address
        self.started = started
        self.mac1 = mac1
    }

    /// The handshake, once.
    func take() -> NoiseHandshake? {
        let taken = handshake.take()
        return taken
    }
}
