import Primitives
import Records
import Wire

/// A user whose records the directory holds; the key is made anew from its seed when it has to sign.
struct DirectoryUser: Sendable {
    let seed: UInt64
    let blinded: BlindedID
    /// The record that lookups ought to find, and when it was published.
    var record: [UInt8]
    var published: UInt64

    var sequence: UInt64 { blinded.sequences.sequence(at: published) }
    var blindedKey: VerifyingKey { blinded.key }

    /// - Parameter published: seconds since 1970.
    init(seed: UInt64, published: UInt64, epoch: UInt64) throws(DirectoryExperimentError) {
        var entropy = Entropy(seed: seed)
        let key = SigningKey(&entropy)
        self.seed = seed
        do throws(RecordError) {
            blinded = try BlindedID(NetworkID(key: key.publicKey), epoch: epoch)
        } catch { throw .record(error) }
        record = try DirectoryUser.sign(key, published: published, epoch: epoch, &entropy).encode()
        self.published = published
    }

    /// The user's record as published at another time.
    func record(published: UInt64, epoch: UInt64) throws(DirectoryExperimentError) -> DirectoryRecord {
        var entropy = Entropy(seed: seed)
        let key = SigningKey(&entropy)
        // Another state than that of the first record, for the nonce.
        _ = entropy.array(Int(published % 64) + 1)
        return try DirectoryUser.sign(key, published: published, epoch: epoch, &entropy)
    }

    private static func sign(
        _ user: borrowing SigningKey, published: UInt64, epoch: UInt64, _ entropy: inout Entropy
    ) throws(DirectoryExperimentError) -> DirectoryRecord {
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
            operational: operational.publicKey, operationalExpiry: published + 90 * 86_400, policy: 1,
            prekeys: Bytes32(), user: user)
        do throws(RecordError) {
            return try DirectoryRecord.seal(
                body: body, user: user, epoch: epoch,
                sequence: SequenceBase(user: user.publicKey, epoch: epoch).sequence(at: published), entropy: &entropy)
        } catch { throw .record(error) }
    }
}
