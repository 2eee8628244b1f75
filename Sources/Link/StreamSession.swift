import Primitives

/// What a frame held: its kind, and where in the frame's buffer the body lies now.
public struct OpenedFrame: Equatable, Sendable {
    public let kind: UInt8
    public let bodyOffset: Int
    public let bodyCount: Int
}

/// Both directions of an established stream link. Frames have one size and arrive in order; spec: specs/link.md.
///
/// Layout of a frame before sealing: kind (1) ‖ body length (2) ‖ body ‖ zeros; all of it is encrypted, the tag follows.
/// Neither ``seal(kind:body:into:)`` nor ``open(_:)`` allocates.
public struct StreamSession: ~Copyable, Sendable {
    /// The longest body: an envelope and 4 bytes for its user.
    public static let bodyLimit = 2612
    /// Bytes of every frame.
    public static let frameSize = headerSize + bodyLimit + ChaChaPoly.tagSize
    /// Frames of one direction under one key; then Noise's `REKEY`.
    public static let framesPerKey: UInt64 = 1 << 20

    static let headerSize = 1 + 2

    private var sending: NoiseCipher
    private var receiving: NoiseCipher
    /// Noise's handshake hash: equal on both sides, unique to this session; for channel binding.
    public let handshakeHash: Bytes64

    init(sending: consuming NoiseCipher, receiving: consuming NoiseCipher, handshakeHash: Bytes64) {
        self.sending = sending
        self.receiving = receiving
        self.handshakeHash = handshakeHash
    }

    /// Writes one frame.
    /// - Parameters:
    ///   - body: at most ``bodyLimit`` bytes; zeros follow it.
    ///   - out: ``frameSize`` bytes.
    /// - Throws: ``LinkError/oversize(limit:actual:)``, ``LinkError/exhausted``, ``LinkError/malformed`` for a wrong `out`.
    public mutating func seal(
        kind: UInt8, body: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer
    ) throws(LinkError) {
        guard out.count == StreamSession.frameSize else { throw .malformed }
        guard body.count <= StreamSession.bodyLimit else {
            throw .oversize(limit: StreamSession.bodyLimit, actual: body.count)
        }
        let start = StreamSession.headerSize
        let end = start + body.count
        out[0] = kind
        out[1] = UInt8(truncatingIfNeeded: body.count)
        out[2] = UInt8(truncatingIfNeeded: body.count >> 8)
        UnsafeMutableRawBufferPointer(rebasing: out[start..<end]).copyMemory(from: body)
        UnsafeMutableRawBufferPointer(rebasing: out[end...]).initializeMemory(as: UInt8.self, repeating: 0)
        StreamSession.rekeyIfDue(&sending)
        try sending.seal(out)
    }

    /// Opens the next frame of the peer in place.
    ///
    /// After a failure the link must be closed: a stream does not lose frames, so something was forged.
    /// - Parameter frame: ``frameSize`` bytes.
    /// - Throws: ``LinkError/authenticationFailed``, ``LinkError/malformed``, ``LinkError/exhausted``
    public mutating func open(_ frame: UnsafeMutableRawBufferPointer) throws(LinkError) -> OpenedFrame {
        guard frame.count == StreamSession.frameSize else { throw .malformed }
        StreamSession.rekeyIfDue(&receiving)
        try receiving.open(frame)
        let count = Int(frame[1]) | Int(frame[2]) << 8
        guard count <= StreamSession.bodyLimit else { throw .malformed }
        return OpenedFrame(kind: frame[0], bodyOffset: StreamSession.headerSize, bodyCount: count)
    }

    /// Both sides count alike, so the moment of a new key needs no message. The counter runs on, as Noise has it.
    private static func rekeyIfDue(_ cipher: inout NoiseCipher) {
        if cipher.counter > 0, cipher.counter % framesPerKey == 0, cipher.rekeyedAt != cipher.counter { cipher.rekey() }
    }
}
