import Primitives
import Wire

/// What follows from a name at one home server: who knows the name can compute it, at the cost of Argon2id a guess.
public struct NameSecret: Hashable, Sendable {
    /// The home server that vouches for the name, under its cluster's certificate.
    public let server: VerifyingKey
    /// Stands for the name at the home, which is not told the name itself.
    public let label: Bytes32
    /// Opens the pointer; the home does not have it.
    let pointerKey: Bytes32

    /// - Throws: ``PrimitiveError/outOfMemory``
    public init(name: String, server: VerifyingKey, cost: Argon2id = .interactive) throws(PrimitiveError) {
        let salt = Bytes16(BLAKE2b.h(Domain("hulda/name-salt"), server.bytes).bytes.prefix(16)) ?? Bytes16()
        var text = Array(name.utf8)
        let stretched = try cost.key(passphrase: SecretBytes(taking: &text), salt: salt)
        self.server = server
        label = NameSecret.derive(from: stretched, Domain("hulda/name-lab"))
        pointerKey = NameSecret.derive(from: stretched, Domain("hulda/name-ptr"))
    }

    /// The key under which the name's record is found in `epoch`.
    public func blindedKey(epoch: UInt64) throws(RecordError) -> VerifyingKey {
        do throws(PrimitiveError) {
            return try NameRecord.factor(server, label, epoch).blind(server)
        } catch { throw .invalidKey }
    }

    private static func derive(from key: borrowing SecretBytes, _ domain: Domain) -> Bytes32 {
        BLAKE2b.deriveKey(from: key, domain).withUnsafeBytes { Bytes32(raw: $0) ?? Bytes32() }
    }

    /// What a pointer is bound to.
    var context: [UInt8] { server.bytes.bytes + label.bytes }
}

/// From a name to a network ID, made by the ID's owner; the home that vouches for the name cannot open it.
public enum NamePointer {
    /// Nonce 24 ‖ sealed (version 1 ‖ user key 32 ‖ signature 64).
    public static let size = 24 + 97 + XChaChaPoly.tagSize
    private static let version: UInt8 = 1

    public static func seal(
        user: borrowing SigningKey, _ secret: NameSecret, entropy: inout Entropy
    ) -> [UInt8] {
        let nonce: Bytes24 = entropy.bytes()
        return seal(user: user, secret, nonce: nonce)
    }

    static func seal(user: borrowing SigningKey, _ secret: NameSecret, nonce: Bytes24) -> [UInt8] {
        let plain = [version] + user.publicKey.bytes.bytes + user.sign(message(secret)).bytes.bytes
        return nonce.bytes + XChaChaPoly.seal(plain, key: key(secret), nonce: nonce, associated: secret.context)
    }

    /// The ID, when its owner agreed to the name.
    public static func open(_ pointer: [UInt8], _ secret: NameSecret) throws(RecordError) -> NetworkID {
        guard pointer.count == size, let nonce = Bytes24(pointer.prefix(24)) else { throw .malformed(.truncated) }
        let plain: [UInt8]
        do throws(PrimitiveError) {
            plain = try XChaChaPoly.open(
                Array(pointer.dropFirst(24)), key: key(secret), nonce: nonce, associated: secret.context)
        } catch { throw .wrongBody }
        let user: VerifyingKey
        let signature: Signature
        do throws(WireError) {
            var reader = Reader(plain)
            let version = try reader.uint8()
            guard version == NamePointer.version else { throw .unknownKind(version) }
            user = VerifyingKey(try reader.fixed())
            signature = Signature(try reader.fixed())
            try reader.finish()
        } catch { throw .malformed(error) }
        guard user.isValid(signature, for: message(secret)) else { throw .wrongSignature }
        return NetworkID(key: user)
    }

    private static func key(_ secret: NameSecret) -> SecretBytes {
        var bytes = secret.pointerKey.bytes
        return SecretBytes(taking: &bytes)
    }

    /// What the owner of the ID signs: `H("hulda/name-own", ServerID ‖ label)`.
    private static func message(_ secret: NameSecret) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/name-own"), secret.context).bytes
    }
}

/// A directory record for a name, signed by the home server's key, blinded for the name and the epoch. Holders cannot
/// tell it from a user's record.
public enum NameRecord {
    private static let version: UInt8 = 1

    static func factor(_ server: VerifyingKey, _ label: Bytes32, _ epoch: UInt64) -> BlindingFactor {
        BlindingFactor(Domain("hulda/name-bld"), key: server, label: label, epoch: epoch)
    }

    /// What a name's record says.
    public enum Target: Hashable, Sendable {
        case user(NetworkID)
        /// The name was given up.
        case released
    }

    /// Signs a record. The same input gives the same record.
    /// - Parameters:
    ///   - pointer: empty for a name that was given up.
    ///   - published: seconds since 1970.
    public static func seal(
        label: Bytes32, pointer: [UInt8], server: borrowing SigningKey, epoch: UInt64, published: UInt64
    ) throws(RecordError) -> DirectoryRecord {
        let key = BlindedSigningKey(server, factor(server.publicKey, label, epoch))
        var writer = Writer(capacity: 160)
        writer.uint8(version)
        writer.prefixed(pointer)
        let sequence = SequenceBase(label: label, epoch: epoch).sequence(at: published)
        let head = DirectoryRecord.header(epoch: epoch, sequence: sequence, blindedKey: key.publicKey)
        // No randomness is at hand, and none is needed: another head or pointer has another nonce.
        let hash = BLAKE2b.h(Domain("hulda/name-non"), head + writer.bytes).bytes
        return try DirectoryRecord.seal(
            plain: writer.bytes, bodyKey: bodyKey(label, epoch), nonce: Bytes24(hash.prefix(24)) ?? Bytes24(), key: key,
            epoch: epoch, sequence: sequence)
    }

    /// Where the name leads.
    public static func open(_ record: DirectoryRecord, _ secret: NameSecret) throws(RecordError) -> Target {
        guard try secret.blindedKey(epoch: record.epoch) == record.blindedKey else { throw .invalidKey }
        let plain = try record.open(bodyKey: bodyKey(secret.label, record.epoch))
        let pointer: [UInt8]
        do throws(WireError) {
            var reader = Reader(plain)
            let version = try reader.uint8()
            guard version == NameRecord.version else { throw .unknownKind(version) }
            pointer = try reader.prefixed(limit: NamePointer.size, field: "pointer")
            guard reader.rest().allSatisfy({ $0 == 0 }) else { throw .outOfRange(field: "padding") }
        } catch { throw .malformed(error) }
        return pointer.isEmpty ? .released : .user(try NamePointer.open(pointer, secret))
    }

    private static func bodyKey(_ label: Bytes32, _ epoch: UInt64) -> SecretBytes {
        var bytes = label.bytes
        let secret = SecretBytes(taking: &bytes)
        return BLAKE2b.deriveKey(
            from: secret, Domain("hulda/name-key"), context: withUnsafeBytes(of: epoch.littleEndian) { Array($0) })
    }
}
