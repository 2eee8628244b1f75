import CSodium

/// Argon2id (RFC 9106): a key from a passphrase.
public struct Argon2id: Sendable, Equatable {
    /// Passes over the memory.
    public var operations: UInt32
    /// Memory in kibibytes.
    public var memoryKiB: UInt32

    /// More than the deepest function of libsodium's Argon2id takes of the stack.
    private static let stackUsed = 1 << 15

    /// libsodium's "moderate" cost: 256 MiB and three passes, near half a second.
    public static let moderate = Argon2id(operations: 3, memoryKiB: 262_144)
    /// libsodium's "interactive" cost: 64 MiB and two passes.
    public static let interactive = Argon2id(operations: 2, memoryKiB: 65_536)

    public init(operations: UInt32, memoryKiB: UInt32) {
        self.operations = operations
        self.memoryKiB = memoryKiB
    }

    /// A 32-byte key.
    /// - Throws: ``PrimitiveError/outOfMemory``
    public func key(passphrase: borrowing SecretBytes, salt: Bytes16) throws(PrimitiveError) -> SecretBytes {
        var out = SecretBytes(count: 32)
        let status = out.withUnsafeMutableBytes { out in
            passphrase.withUnsafeBytes { pass in
                salt.withUnsafeBytes { salt in
                    crypto_pwhash(
                        out.octets, UInt64(out.count),
                        UnsafeRawPointer(pass.octets).assumingMemoryBound(to: CChar.self), UInt64(pass.count),
                        salt.octets, UInt64(operations),
                        Int(memoryKiB) * 1024, crypto_pwhash_ALG_ARGON2ID13)
                }
            }
        }
        // libsodium leaves the last hash, which is the key, on the stack.
        sodium_stackzero(Argon2id.stackUsed)
        guard status == 0 else { throw .outOfMemory }
        return out
    }
}
