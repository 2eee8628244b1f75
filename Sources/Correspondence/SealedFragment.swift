import Home
import Primitives
import Records
import Wire

/// What a message is.
public enum MessageKind: UInt8, Sendable, Codable {
    case text = 1
    /// The body is the IDs of messages that are safe on the receiver's disk, see ``Receipt``.
    case receipt = 2
}

/// Why a sealed fragment was not taken.
public enum SealError: Error, Equatable, Sendable {
    /// Not sealed to this key, or changed.
    case wrongSeal
    /// The sender's signature does not fit.
    case wrongSignature
    case malformed(WireError)
    case invalidKey
}

/// A part of a message as it travels from end to end (specs/correspondence.md, "Seal").
///
/// Sealed to the recipient's sealing key from a fresh ephemeral key and signed by the sender inside. There is no ratchet
/// yet: who obtains the recipient's sealing key can open what was recorded before.
struct SealedFragment: Hashable, Sendable {
    /// The most parts of one message: so many hold ``bodyLimit``.
    static let countLimit = (bodyLimit + partLimit - 1) / partLimit
    /// Sender, signature, message ID, kind, index, count, time, length.
    private static let overhead = 32 + 64 + 16 + 1 + 1 + 1 + 8 + 2
    /// The most bytes of body in one part.
    static let partLimit = HomeRequest.Delivery.blobLimit - 32 - ChaChaPoly.tagSize - overhead
    /// The most bytes in one message.
    static let bodyLimit = Int(UInt16.max)

    var sender: NetworkID
    var messageID: Bytes16
    var kind: MessageKind
    var index: UInt8
    var count: UInt8
    /// The sender's clock.
    var sent: Timestamp
    var part: [UInt8]

    /// The parts of a body; one empty part for an empty body.
    static func split(_ body: [UInt8]) -> [[UInt8]] {
        guard !body.isEmpty else { return [[]] }
        return stride(from: 0, to: body.count, by: partLimit).map {
            Array(body[$0..<min(body.count, $0 + partLimit)])
        }
    }

    /// The identifier by which the recipient's home recognises the same part again.
    static func deliveryID(_ messageID: Bytes16, _ index: UInt8) -> Bytes16 {
        Bytes16(BLAKE2b.h(Domain("hulda/fragment"), messageID, UInt64(index)).bytes.prefix(16)) ?? Bytes16()
    }

    /// Ephemeral key 32 ‖ ciphertext; always ``HomeRequest/Delivery/blobLimit`` bytes.
    func seal(
        to recipient: NetworkID, key: X25519PublicKey, sender: borrowing SigningKey, entropy: inout Entropy
    ) throws(SealError) -> [UInt8] {
        try seal(to: recipient, key: key, sender: sender, ephemeral: X25519PrivateKey(&entropy))
    }

    /// - Parameter ephemeral: a fresh key; fixed only in tests with known answers.
    func seal(
        to recipient: NetworkID, key: X25519PublicKey, sender: borrowing SigningKey,
        ephemeral: consuming X25519PrivateKey
    ) throws(SealError) -> [UInt8] {
        let sealKey: SecretBytes
        do throws(PrimitiveError) {
            let shared = try ephemeral.sharedSecret(with: key)
            sealKey = SealedFragment.key(shared, ephemeral.publicKey, key)
        } catch { throw .invalidKey }
        var content = Writer(capacity: HomeRequest.Delivery.blobLimit)
        encodeContent(&content)
        let signature = sender.sign(
            SealedFragment.message(recipient, ephemeral.publicKey, content.bytes))
        var plain = Writer(capacity: HomeRequest.Delivery.blobLimit)
        plain.fixed(signature.bytes)
        plain.append(content.bytes)
        plain.pad(to: HomeRequest.Delivery.blobLimit - 32 - ChaChaPoly.tagSize)
        return ephemeral.publicKey.bytes.bytes + ChaChaPoly.sealOnce(plain.bytes, key: sealKey)
    }

    /// Opens and checks a part that was sealed to `key`.
    init(
        opening blob: [UInt8], recipient: NetworkID, key: borrowing X25519PrivateKey
    ) throws(SealError) {
        guard let raw = Bytes32(blob.prefix(32)) else { throw .malformed(.truncated) }
        let ephemeral = X25519PublicKey(raw)
        let plain: [UInt8]
        do throws(PrimitiveError) {
            let shared = try key.sharedSecret(with: ephemeral)
            plain = try ChaChaPoly.openOnce(
                Array(blob.dropFirst(32)), key: SealedFragment.key(shared, ephemeral, key.publicKey))
        } catch { throw .wrongSeal }
        let signature: Signature
        do throws(WireError) {
            var reader = Reader(plain)
            signature = Signature(try reader.fixed())
            try self.init(content: &reader)
        } catch { throw .malformed(error) }
        var content = Writer(capacity: plain.count)
        encodeContent(&content)
        guard sender.key.isValid(signature, for: SealedFragment.message(recipient, ephemeral, content.bytes)) else {
            throw .wrongSignature
        }
    }

    init(
        sender: NetworkID, messageID: Bytes16, kind: MessageKind, index: UInt8, count: UInt8, sent: Timestamp,
        part: [UInt8]
    ) {
        self.sender = sender
        self.messageID = messageID
        self.kind = kind
        self.index = index
        self.count = count
        self.sent = sent
        self.part = part
    }

    private init(content reader: inout Reader) throws(WireError) {
        sender = NetworkID(key: VerifyingKey(try reader.fixed()))
        messageID = try reader.fixed()
        let kind = try reader.uint8()
        guard let known = MessageKind(rawValue: kind) else { throw .unknownKind(kind) }
        self.kind = known
        index = try reader.uint8()
        count = try reader.uint8()
        guard (1...SealedFragment.countLimit).contains(Int(count)), index < count else {
            throw .outOfRange(field: "fragment")
        }
        sent = Timestamp(milliseconds: try reader.uint64())
        part = try reader.prefixed(limit: SealedFragment.partLimit, field: "part")
        guard reader.rest().allSatisfy({ $0 == 0 }) else { throw .outOfRange(field: "padding") }
        guard hasItsSize else { throw .outOfRange(field: "part") }
    }

    /// A message has one form: its parts are full up to the last, and a receipt is the IDs of messages.
    private var hasItsSize: Bool {
        let isLast = index + 1 == count
        return switch kind {
        case .receipt: count == 1 && Receipt.messages(part) != nil
        case .text where !isLast: part.count == SealedFragment.partLimit
        case .text:
            (count == 1 || !part.isEmpty)
                && Int(index) * SealedFragment.partLimit + part.count <= SealedFragment.bodyLimit
        }
    }

    private func encodeContent(_ writer: inout Writer) {
        writer.fixed(sender.key.bytes)
        writer.fixed(messageID)
        writer.uint8(kind.rawValue)
        writer.uint8(index)
        writer.uint8(count)
        writer.uint64(sent.milliseconds)
        writer.prefixed(part)
    }

    private static func key(
        _ shared: borrowing SecretBytes, _ ephemeral: X25519PublicKey, _ recipient: X25519PublicKey
    ) -> SecretBytes {
        BLAKE2b.deriveKey(
            from: shared, Domain("hulda/seal"), context: ephemeral.bytes.bytes + recipient.bytes.bytes)
    }

    /// What the sender signs: the content bound to its recipient and to this seal.
    private static func message(_ recipient: NetworkID, _ ephemeral: X25519PublicKey, _ content: [UInt8]) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/seal-sig"), recipient.key.bytes.bytes + ephemeral.bytes.bytes + content).bytes
    }
}
