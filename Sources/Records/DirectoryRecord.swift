import Primitives
import Wire

/// A user's record as the directory holds it: signed under a key that is blinded for one epoch, its body encrypted
/// under the ID (specs/directory.md, "Record"). A holder learns neither the ID nor the body. All records have one size,
/// and no field but the version is the same in two records of one key's owner of two days.
public struct DirectoryRecord: Hashable, Sendable {
    private static let version: UInt8 = 1
    /// Bytes of ciphertext, tag included: all bodies are padded to it.
    static let ciphertextSize = 512
    /// Bytes of a record.
    public static let size = 1 + 8 + 8 + 32 + 24 + ciphertextSize + 64
    /// Records of the next epoch are taken this long before it begins, in seconds.
    public static let lead: UInt64 = 4 * 3600
    /// A record outlives its epoch by this, in seconds: a lookup that began before midnight ends after it.
    public static let grace: UInt64 = 2 * 3600
    /// The longest time, in seconds, from the first moment at which a record is taken until it expires.
    public static let lifetime: UInt64 = lead + Timestamp.secondsPerEpoch + grace

    /// Days since 1970.
    public let epoch: UInt64
    /// Of two records of one key the higher sequence counts; a ``SequenceBase`` says what it tells of time.
    public let sequence: UInt64
    /// `A' = b·A`, under which the record is found and signed.
    public let blindedKey: VerifyingKey
    let nonce: Bytes24
    let ciphertext: [UInt8]
    public let signature: Signature

    /// Encrypts and signs a record.
    public static func seal(
        body: RecordBody, user: borrowing SigningKey, epoch: UInt64, sequence: UInt64, entropy: inout Entropy
    ) throws(RecordError) -> DirectoryRecord {
        let factor = BlindingFactor(Domain("hulda/blind"), key: user.publicKey, epoch: epoch)
        let key = BlindedSigningKey(user, factor)
        return try seal(
            plain: body.encode(), bodyKey: bodyKey(user.publicKey, epoch), nonce: entropy.bytes(), key: key,
            epoch: epoch, sequence: sequence)
    }

    /// Pads, encrypts and signs a body of any kind.
    static func seal(
        plain body: [UInt8], bodyKey: borrowing SecretBytes, nonce: Bytes24, key: borrowing BlindedSigningKey,
        epoch: UInt64, sequence: UInt64
    ) throws(RecordError) -> DirectoryRecord {
        var plain = body
        let room = ciphertextSize - XChaChaPoly.tagSize - plain.count
        guard room >= 0 else { throw .oversize(plain.count) }
        plain.append(contentsOf: repeatElement(0, count: room))
        let head = header(epoch: epoch, sequence: sequence, blindedKey: key.publicKey)
        let ciphertext = XChaChaPoly.seal(plain, key: bodyKey, nonce: nonce, associated: head)
        let unsigned = DirectoryRecord(
            epoch: epoch, sequence: sequence, blindedKey: key.publicKey, nonce: nonce, ciphertext: ciphertext,
            signature: Signature(Bytes64()))
        return DirectoryRecord(
            epoch: epoch, sequence: sequence, blindedKey: key.publicKey, nonce: nonce, ciphertext: ciphertext,
            signature: key.sign(unsigned.unsignedBytes()))
    }

    private init(
        epoch: UInt64, sequence: UInt64, blindedKey: VerifyingKey, nonce: Bytes24, ciphertext: [UInt8],
        signature: Signature
    ) {
        self.epoch = epoch
        self.sequence = sequence
        self.blindedKey = blindedKey
        self.nonce = nonce
        self.ciphertext = ciphertext
        self.signature = signature
    }

    /// Reads the layout; believe it only after ``verify(at:)``.
    public init(decoding bytes: [UInt8]) throws(RecordError) {
        guard bytes.count <= DirectoryRecord.size else { throw .oversize(bytes.count) }
        do throws(WireError) {
            var reader = Reader(bytes)
            let version = try reader.uint8()
            guard version == DirectoryRecord.version else { throw WireError.unknownKind(version) }
            epoch = try reader.uint64()
            sequence = try reader.uint64()
            blindedKey = VerifyingKey(try reader.fixed())
            nonce = try reader.fixed()
            ciphertext = try reader.bytes(DirectoryRecord.ciphertextSize)
            signature = Signature(try reader.fixed())
            try reader.finish()
        } catch { throw .malformed(error) }
    }

    /// Seconds since 1970 until which the records of an epoch are believed: the same for all of them.
    public static func expiry(ofEpoch epoch: UInt64) -> UInt64 {
        let (days, isPast) = epoch.addingReportingOverflow(1)
        let (seconds, isTooLarge) = days.multipliedReportingOverflow(by: Timestamp.secondsPerEpoch)
        return isPast || isTooLarge || seconds > .max - grace ? .max : seconds + grace
    }

    /// Seconds since 1970 until which it is believed.
    public var expiry: UInt64 { DirectoryRecord.expiry(ofEpoch: epoch) }

    /// The dates and the sequence of an encoded record that was decoded before, for who serves it as it is; `nil` when it cannot be one.
    public static func dates(of bytes: [UInt8]) -> (epoch: UInt64, expiry: UInt64, sequence: UInt64)? {
        var reader = Reader(bytes)
        guard bytes.count == size, (try? reader.uint8()) == version, let epoch = try? reader.uint64(),
            let sequence = try? reader.uint64()
        else { return nil }
        return (epoch, expiry(ofEpoch: epoch), sequence)
    }

    public func encode() -> [UInt8] {
        unsignedBytes() + signature.bytes.bytes
    }

    /// Checks the epoch: cheap, so done before the signature.
    public func checkTime(at now: Timestamp) throws(RecordError) {
        let isNext =
            epoch == now.epoch + 1
            && now.seconds % Timestamp.secondsPerEpoch >= Timestamp.secondsPerEpoch - DirectoryRecord.lead
        let isLast = now.epoch > 0 && epoch == now.epoch - 1
        guard epoch == now.epoch || isNext || isLast else { throw .wrongEpoch(epoch) }
        guard expiry > now.seconds else { throw .expired }
    }

    /// Checks the epoch and the signature under the blinded key.
    public func verify(at now: Timestamp) throws(RecordError) {
        try checkTime(at: now)
        guard blindedKey.isValid(signature, for: unsignedBytes()) else { throw .wrongSignature }
    }

    /// Decrypts the body with the ID, and checks that the record is this user's of this epoch, and the operational key
    /// certified for now.
    public func open(by user: BlindedID, at now: Timestamp) throws(RecordError) -> RecordBody {
        guard user.key == blindedKey, user.epoch == epoch else { throw .invalidKey }
        let plain = try open(bodyKey: DirectoryRecord.bodyKey(user.id.key, epoch))
        let body: RecordBody
        do throws(WireError) { body = try RecordBody(decoding: plain) } catch { throw .malformed(error) }
        guard body.isInTime(at: now), body.isCertified(by: user.id.key) else { throw .wrongCertificate }
        return body
    }

    /// The padded body.
    func open(bodyKey: borrowing SecretBytes) throws(RecordError) -> [UInt8] {
        let head = DirectoryRecord.header(epoch: epoch, sequence: sequence, blindedKey: blindedKey)
        do throws(PrimitiveError) {
            return try XChaChaPoly.open(ciphertext, key: bodyKey, nonce: nonce, associated: head)
        } catch { throw .wrongBody }
    }

    /// The body's key: BLAKE2b-256 keyed with the ID over the epoch.
    private static func bodyKey(_ user: VerifyingKey, _ epoch: UInt64) -> SecretBytes {
        var bytes = user.bytes.bytes
        let secret = SecretBytes(taking: &bytes)
        return BLAKE2b.deriveKey(
            from: secret, Domain("hulda/dir-key"), context: withUnsafeBytes(of: epoch.littleEndian) { Array($0) })
    }

    static func header(epoch: UInt64, sequence: UInt64, blindedKey: VerifyingKey) -> [UInt8] {
        var writer = Writer(capacity: 49)
        writer.uint8(version)
        writer.uint64(epoch)
        writer.uint64(sequence)
        writer.fixed(blindedKey.bytes)
        return writer.bytes
    }

    private func unsignedBytes() -> [UInt8] {
        var writer = Writer(capacity: DirectoryRecord.size)
        writer.append(DirectoryRecord.header(epoch: epoch, sequence: sequence, blindedKey: blindedKey))
        writer.fixed(nonce)
        writer.append(ciphertext)
        return writer.bytes
    }
}
