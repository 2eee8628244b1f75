import Primitives
import SecondImplementation
import Testing

private func lioness(_ block: [UInt8], _ key: [UInt8], decrypt: Bool = false) -> [UInt8] {
    var out = block
    out.withUnsafeMutableBytes { out in
        key.withUnsafeBytes { key in
            if decrypt { Lioness.decrypt(out, key: key) } else { Lioness.encrypt(out, key: key) }
        }
    }
    return out
}

@Suite("Key blinding")
struct BlindingTests {
    struct File: Decodable {
        struct Case: Decodable {
            let seed, epoch, message, `public`, blinded, signature: String
        }
        let domain: String
        let cases: [Case]
    }

    @Test("gives the keys and signatures of specs/vectors/blinding.json")
    func published() throws {
        let file = try Peer.vectors("blinding", as: File.self)
        #expect(file.domain == "hulda/blind")
        #expect(file.cases.count == 5)
        for known in file.cases {
            let key = try SigningKey(seed: secret(known.seed))
            #expect(key.publicKey.bytes.hex == known.public)
            let epoch = try #require(UInt64(known.epoch))
            let factor = BlindingFactor(Domain("hulda/blind"), key: key.publicKey, epoch: epoch)
            let blinded = try factor.blind(key.publicKey)
            #expect(blinded.bytes.hex == known.blinded)
            let signer = BlindedSigningKey(key, factor)
            #expect(signer.publicKey == blinded)
            let message = try hex(known.message)
            let signature = signer.sign(message)
            #expect(signature.bytes.hex == known.signature)
            #expect(blinded.isValid(signature, for: message))
        }
    }

    @Test("changes with the epoch, the domain and the key, and its signatures fit the blinded key alone")
    func separation() throws {
        var entropy = Entropy(seed: 6)
        let key = SigningKey(&entropy)
        let other = SigningKey(&entropy)
        let domain = Domain("hulda/blind")
        let factor = BlindingFactor(domain, key: key.publicKey, epoch: 7)
        let blinded = try factor.blind(key.publicKey)
        #expect(try blinded != BlindingFactor(domain, key: key.publicKey, epoch: 8).blind(key.publicKey))
        #expect(try blinded != BlindingFactor(Domain("hulda/x"), key: key.publicKey, epoch: 7).blind(key.publicKey))
        #expect(try blinded != factor.blind(other.publicKey))
        let signature = BlindedSigningKey(key, factor).sign([1])
        #expect(blinded.isValid(signature, for: [1]))
        #expect(!blinded.isValid(signature, for: [2]))
        #expect(!key.publicKey.isValid(signature, for: [1]))
        #expect(key.sign([1]) != signature)
    }

    @Test("refuses points outside the prime-order group and bytes that are no point")
    func invalid() throws {
        var entropy = Entropy(seed: 7)
        let key = SigningKey(&entropy)
        let factor = BlindingFactor(Domain("hulda/blind"), key: key.publicKey, epoch: 1)
        for text in [
            "0100000000000000000000000000000000000000000000000000000000000000",  // the neutral element
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  // order 2
            "0000000000000000000000000000000000000000000000000000000000000000",  // order 4
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  // order 8
            "0200000000000000000000000000000000000000000000000000000000000000",  // not on the curve
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  // 1, not canonical
        ] {
            let point = VerifyingKey(try fixed(Bytes32.self, text))
            #expect(throws: PrimitiveError.invalidPublicKey, "\(text)") { try factor.blind(point) }
        }
    }
}

@Suite("LIONESS")
struct LionessTests {
    struct File: Decodable {
        struct Case: Decodable {
            let key, plain, cipher: String
        }
        let cases: [Case]
    }

    @Test("encrypts and decrypts the blocks of specs/vectors/lioness.json")
    func published() throws {
        let cases = try Peer.vectors("lioness", as: File.self).cases
        #expect(cases.count == 5)
        for known in cases {
            let (key, plain, cipher) = (try hex(known.key), try hex(known.plain), try hex(known.cipher))
            #expect(lioness(plain, key) == cipher)
            #expect(lioness(cipher, key, decrypt: true) == plain)
        }
    }

    @Test("changes about half of all bits of an envelope's payload when one is flipped, in both directions")
    func diffusion() {
        var entropy = Entropy(seed: 8)
        let key = entropy.array(Lioness.keySize)
        let block = entropy.array(2048)
        for decrypt in [false, true] {
            let reference = lioness(block, key, decrypt: decrypt)
            for position in [0, 255, 256, 8191, 16383] {
                var flipped = block
                flipped[position / 8] ^= 1 << UInt8(position % 8)
                let changed = zip(reference, lioness(flipped, key, decrypt: decrypt))
                    .reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
                // Binomial with mean 8192 and deviation 64: 10 deviations.
                #expect((7552...8832).contains(changed), "bit \(position): \(changed) changed")
            }
        }
    }
}

@Suite("Argon2id")
struct Argon2idTests {
    @Test("depends on passphrase, salt, memory and passes")
    func inputs() throws {
        let cheap = Argon2id(operations: 1, memoryKiB: 64)
        let base = bytes(try cheap.key(passphrase: secret([1]), salt: Bytes16()))
        #expect(base.count == 32)
        #expect(bytes(try cheap.key(passphrase: secret([1]), salt: Bytes16())) == base)
        #expect(bytes(try cheap.key(passphrase: secret([2]), salt: Bytes16())) != base)
        #expect(bytes(try cheap.key(passphrase: secret([]), salt: Bytes16())) != base)
        var salt = Bytes16()
        salt.withUnsafeMutableBytes { $0[15] = 1 }
        #expect(bytes(try cheap.key(passphrase: secret([1]), salt: salt)) != base)
        let wider = Argon2id(operations: 1, memoryKiB: 72)
        #expect(bytes(try wider.key(passphrase: secret([1]), salt: Bytes16())) != base)
        let longer = Argon2id(operations: 2, memoryKiB: 64)
        #expect(bytes(try longer.key(passphrase: secret([1]), salt: Bytes16())) != base)
    }

    /// libsodium's least memory is 8 KiB; asking for more than there is could take this machine down.
    @Test("gives no key for a memory size that cannot be had")
    func memory() throws {
        let none = Argon2id(operations: 1, memoryKiB: 0)
        #expect(throws: PrimitiveError.outOfMemory) {
            _ = bytes(try none.key(passphrase: secret([1]), salt: Bytes16()))
        }
    }
}
