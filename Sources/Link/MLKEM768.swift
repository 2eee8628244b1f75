import Crypto
import Primitives

/// ML-KEM-768 (FIPS 203) from swift-crypto: the post-quantum part of links.
public enum MLKEM768 {
    public static let publicKeySize = 1184
    public static let ciphertextSize = 1088

    /// A decapsulation key.
    public struct PrivateKey: ~Copyable, Sendable {
        private let key: Crypto.MLKEM768.PrivateKey

        /// A new key from the system's random source, which swift-crypto does not let a caller replace.
        public init() throws(PrimitiveError) {
            do { key = try Crypto.MLKEM768.PrivateKey() } catch { throw .outOfMemory }
        }

        /// The key of a 64-byte seed (FIPS 203 `d ‖ z`).
        public init(seed: borrowing SecretBytes) throws(PrimitiveError) {
            var copy = seed.withUnsafeBytes { Array($0) }
            defer { copy.withUnsafeMutableBytes { SecretBytes.zero($0) } }
            do {
                key = try Crypto.MLKEM768.PrivateKey(seedRepresentation: copy, publicKey: nil)
            } catch {
                throw .wrongLength(expected: 64, actual: seed.count)
            }
        }

        /// The encapsulation key: ``publicKeySize`` bytes.
        public var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }

        /// The 32-byte secret inside `ciphertext`. A forged ciphertext yields an unrelated secret (implicit rejection).
        /// - Throws: ``PrimitiveError/wrongLength(expected:actual:)``
        public borrowing func decapsulate(_ ciphertext: [UInt8]) throws(PrimitiveError) -> SecretBytes {
            guard ciphertext.count == MLKEM768.ciphertextSize else {
                throw .wrongLength(expected: MLKEM768.ciphertextSize, actual: ciphertext.count)
            }
            do {
                var bytes = try key.decapsulate(ciphertext).withUnsafeBytes { Array($0) }
                return SecretBytes(taking: &bytes)
            } catch {
                throw .authenticationFailed
            }
        }
    }

    /// What ``encapsulate(to:)`` yields.
    public struct Encapsulation: ~Copyable {
        /// 32 bytes that only both sides know.
        public let secret: SecretBytes
        /// ``ciphertextSize`` bytes for the owner of the key.
        public let ciphertext: [UInt8]
    }

    /// A fresh 32-byte secret and its ciphertext for `publicKey`.
    /// - Throws: ``PrimitiveError/invalidPublicKey``
    public static func encapsulate(to publicKey: [UInt8]) throws(PrimitiveError) -> Encapsulation {
        do {
            let result = try Crypto.MLKEM768.PublicKey(rawRepresentation: publicKey).encapsulate()
            var bytes = result.sharedSecret.withUnsafeBytes { Array($0) }
            let secret = SecretBytes(taking: &bytes)
            return Encapsulation(secret: secret, ciphertext: Array(result.encapsulated))
        } catch {
            throw .invalidPublicKey
        }
    }
}
