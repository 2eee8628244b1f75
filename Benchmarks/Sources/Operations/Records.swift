import Primitives
import Records
import Wire

extension Operation {
    static func records() throws -> [Operation] {
        let entropy = Box(Entropy(seed: 5))
        let user = SigningKey(&entropy.value)
        let id = NetworkID(key: user.publicKey)
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        let body = RecordBody(
            home: entropy.value.bytes(), account: entropy.value.bytes(),
            sealing: X25519PublicKey(entropy.value.bytes()), operational: VerifyingKey(entropy.value.bytes()),
            operationalExpiry: now.seconds + 86_400, policy: 1, prekeys: Bytes32(), user: user)
        let record = try DirectoryRecord.seal(
            body: body, user: user, epoch: now.epoch, sequence: 1, entropy: &entropy.value)
        let encoded = record.encode()
        try record.verify(at: now)
        _ = try record.open(by: BlindedID(id, epoch: now.epoch), at: now)
        let signed = encoded.count - Bytes64.count
        let ciphertext = 512 - XChaChaPoly.tagSize
        let bare = Bare(size: signed)
        let small = Bare(size: Bytes32.count)
        let sealed = Bare(size: ciphertext)
        guard bare.verify(signed), small.verify(Bytes32.count), sealed.openExtended(ciphertext) else {
            throw UnexpectedResult(operation: "record")
        }
        return [
            Operation(
                "record decode + verify (holder)", against: "1 Ed25519 verify of the same size", batch: 5,
                construction: {
                    do throws(RecordError) {
                        try DirectoryRecord(decoding: encoded).verify(at: now)
                    } catch { consume(error) }
                }, primitives: { consume(bare.verify(signed)) }),
            Operation(
                "record open + check (reader)",
                against: "2 Ed25519 verify, 1 Edwards multiplication, XChaCha20-Poly1305 open", batch: 2,
                construction: {
                    do throws(RecordError) {
                        let record = try DirectoryRecord(decoding: encoded)
                        try record.verify(at: now)
                        consume(try record.open(by: BlindedID(id, epoch: now.epoch), at: now))
                    } catch { consume(error) }
                },
                primitives: {
                    consume(bare.verify(signed))
                    bare.multiplyEdwards()
                    consume(sealed.openExtended(ciphertext))
                    consume(small.verify(Bytes32.count))
                }),
        ]
    }
}
