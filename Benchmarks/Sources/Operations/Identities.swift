import Primitives

extension Operation {
    static func identities() throws -> [Operation] {
        let size = 256
        let entropy = Box(Entropy(seed: 2))
        let bare = Bare(size: size)
        let key = Box(SigningKey(&entropy.value))
        let epoch: UInt64 = 20_000
        let factor = BlindingFactor(Domain("hulda/blind"), key: key.value.publicKey, epoch: epoch)
        let blinded = Box(BlindedSigningKey(key.value, factor))
        let message = entropy.value.array(size)
        let signature = blinded.value.sign(message)
        let blindedKey = blinded.value.publicKey
        let user = key.value.publicKey
        guard blindedKey.isValid(signature, for: message), bare.verify(size) else {
            throw UnexpectedResult(operation: "blinded verify")
        }
        return [
            Operation(
                "blinded sign", against: "1 Ed25519 sign", batch: 10,
                construction: { consume(blinded.value.sign(message)) }, primitives: { bare.sign(size) }),
            Operation(
                "blinded sign", against: "1 Edwards base multiplication, SHA-512, scalars", batch: 10,
                construction: { consume(blinded.value.sign(message)) },
                primitives: {
                    bare.sha512(32 + size)
                    bare.reduce()
                    bare.multiplyEdwardsBase()
                    bare.sha512(64 + size)
                    bare.reduce()
                    bare.scalarMultiplyAdd()
                }),
            Operation(
                "blinded verify", against: "1 Ed25519 verify", batch: 5,
                construction: { consume(blindedKey.isValid(signature, for: message)) },
                primitives: { consume(bare.verify(size)) }),
            Operation(
                "blind a public key", against: "1 Edwards multiplication", batch: 5,
                construction: {
                    consume(
                        try? BlindingFactor(Domain("hulda/blind"), key: user, epoch: epoch).blind(user))
                }, primitives: { bare.multiplyEdwards() }),
        ]
    }
}
