import FoundationEssentials
import Primitives
import Transport

/// How an agent's state is unlocked.
public enum Unlock: Sendable {
    /// A passphrase, through Argon2id.
    case passphrase(SharedSecret)
    /// A file of 32 random bytes that only its owner can read.
    case keyFile(path: String)
}

/// The file that leads from a passphrase or key file to the agent's master key: salt, cost, and the master key sealed.
struct IdentityFile: Codable {
    var version = 1
    /// `passphrase` or `keyfile`.
    var unlock: String
    /// Hexadecimal, 16 bytes.
    var salt: String
    var operations: UInt32
    var memoryKiB: UInt32
    /// Hexadecimal: nonce (24) ‖ sealed master key (48).
    var sealed: String

    private static let context = Array("hulda/identity".utf8)
    /// The most memory that a file may make Argon2id take: 1 GiB.
    private static let memoryLimitKiB: UInt32 = 1 << 20

    /// Seals `master` under `unlock`.
    static func create(
        master: borrowing SecretBytes, unlock: Unlock, cost: Argon2id, entropy: inout Entropy
    ) throws(AgentFailure) -> IdentityFile {
        let salt = entropy.bytes(Bytes16.self)
        let nonce = entropy.bytes(Bytes24.self)
        var file = IdentityFile(
            unlock: "passphrase", salt: salt.hex, operations: cost.operations, memoryKiB: cost.memoryKiB, sealed: "")
        if case .keyFile = unlock { file.unlock = "keyfile" }
        let key = try file.key(unlock, salt: salt)
        let sealed = XChaChaPoly.seal(master, key: key, nonce: nonce, associated: context)
        file.sealed = Hex.encode(nonce.bytes + sealed)
        return file
    }

    /// The master key.
    /// - Throws: ``AgentFailure/wrongPassphrase`` when `unlock` does not fit.
    func master(_ unlock: Unlock) throws(AgentFailure) -> SecretBytes {
        guard version == 1, memoryKiB <= IdentityFile.memoryLimitKiB, operations <= 64,
            let salt = Hex.decode(salt).flatMap({ Bytes16($0) }), let raw = Hex.decode(sealed),
            let nonce = Bytes24(raw.prefix(24))
        else { throw .damaged("the identity file is not one of this version") }
        let key = try self.key(unlock, salt: salt)
        do {
            return try XChaChaPoly.openSecret(
                Array(raw.dropFirst(24)), key: key, nonce: nonce, associated: IdentityFile.context)
        } catch { throw .wrongPassphrase }
    }

    private func key(_ unlock: Unlock, salt: Bytes16) throws(AgentFailure) -> SecretBytes {
        switch unlock {
        case .passphrase(let passphrase):
            guard self.unlock == "passphrase" else { throw .needsKeyFile }
            do {
                return try Argon2id(operations: operations, memoryKiB: memoryKiB).key(
                    passphrase: passphrase.copy(), salt: salt)
            } catch { throw .outOfMemory }
        case .keyFile(let path):
            guard self.unlock == "keyfile" else { throw .needsPassphrase }
            do throws(KeyFile.Failure) { return try KeyFile.load(path, count: 32) } catch {
                if case .exposed(let exposure) = error { throw .exposed(exposure) }
                throw .keyFile(path: path, reason: "\(error)")
            }
        }
    }
}
