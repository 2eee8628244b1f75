import Primitives

/// A frame as it was opened in place.
public struct OpenedFrame: Sendable {
    public let kind: UInt8
    /// Where the body lies in the frame.
    public let bodyOffset: Int
    public let bodyCount: Int
}

/// The keys of an established stream link; seals and opens frames of one size (specs/link.md, "Frames").
public struct StreamSession: ~Copyable, Sendable {
    /// The most bytes in one frame's body.
    public static let bodyLimit = 2612
    private static let headerSize = 3
    /// Every frame on the wire: kind 1 ‖ length 2 ‖ body, zero padded ‖ tag 16.
    public static let frameSize = headerSize + bodyLimit + ChaChaPoly.tagSize
    /// Frames after which a key is replaced by its successor (Noise's REKEY, section 4.2).
    static let rekeyInterval: UInt64 = 1 << 20

    private var sendKey: SecretBytes
    private var receiveKey: SecretBytes
    private var sendCounter: UInt64 = 0
    private var receiveCounter: UInt64 = 0

    init(sending: consuming SecretBytes, receiving: consuming SecretBytes) {
        sendKey = sending
        receiveKey = receiving
    }

    /// Seals a frame. Allocates nothing.
    /// - Parameter out: ``frameSize`` bytes.
    /// - Throws: ``LinkError/oversize(_:)``, ``LinkError/exhausted``
    public mutating func seal(
        kind: UInt8, body: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer
    ) throws(LinkError) {
        guard body.count <= StreamSession.bodyLimit, out.count == StreamSession.frameSize else {
            throw .oversize(body.count)
        }
        guard sendCounter < UInt64.max - 1 else { throw .exhausted }
        out[0] = kind
        out.storeBytes(of: UInt16(truncatingIfNeeded: body.count).littleEndian, toByteOffset: 1, as: UInt16.self)
        let end = StreamSession.headerSize + body.count
        UnsafeMutableRawBufferPointer(rebasing: out[StreamSession.headerSize..<end]).copyMemory(from: body)
        UnsafeMutableRawBufferPointer(rebasing: out[end...]).initializeMemory(as: UInt8.self, repeating: 0)
        sendKey.withUnsafeBytes { key in
            LinkNonce.with(sendCounter) { ChaChaPoly.seal(out, key: key, nonce: $0) }
        }
        sendCounter += 1
        if sendCounter % StreamSession.rekeyInterval == 0 { StreamSession.rekey(&sendKey) }
    }

    /// Opens a frame in place. Allocates nothing.
    /// - Parameter frame: ``frameSize`` bytes.
    /// - Throws: ``LinkError/authenticationFailed``, ``LinkError/malformed``; the link is then of no further use.
    public mutating func open(_ frame: UnsafeMutableRawBufferPointer) throws(LinkError) -> OpenedFrame {
        guard frame.count == StreamSession.frameSize else { throw .malformed }
        guard receiveCounter < UInt64.max - 1 else { throw .exhausted }
        var isAuthentic = false
        receiveKey.withUnsafeBytes { key in
            LinkNonce.with(receiveCounter) { nonce in
                do throws(PrimitiveError) {
                    try ChaChaPoly.open(frame, key: key, nonce: nonce)
                    isAuthentic = true
                } catch {
                    isAuthentic = false
                }
            }
        }
        guard isAuthentic else { throw .authenticationFailed }
        receiveCounter += 1
        if receiveCounter % StreamSession.rekeyInterval == 0 { StreamSession.rekey(&receiveKey) }
        let count = Int(UInt16(littleEndian: frame.loadUnaligned(fromByteOffset: 1, as: UInt16.self)))
        guard count <= StreamSession.bodyLimit else { throw .malformed }
        return OpenedFrame(kind: frame[0], bodyOffset: StreamSession.headerSize, bodyCount: count)
    }

    /// The first 32 bytes of an encryption of zeros under the largest nonce.
    private static func rekey(_ key: inout SecretBytes) {
        var block = SecretBytes(count: 48)
        block.withUnsafeMutableBytes { block in
            key.withUnsafeBytes { key in
                LinkNonce.with(UInt64.max) { ChaChaPoly.seal(block, key: key, nonce: $0) }
            }
        }
        key.withUnsafeMutableBytes { key in
            block.withUnsafeBytes { key.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[0..<32])) }
        }
    }
}
