import Primitives
import Testing

@Suite("X25519")
struct X25519Tests {
    private func multiply(_ scalar: [UInt8], _ point: [UInt8]) throws -> [UInt8] {
        let key = try X25519PrivateKey(secret(scalar))
        let peer = X25519PublicKey(try #require(Bytes32(point)))
        return bytes(try key.sharedSecret(with: peer))
    }

    @Test("multiplies as RFC 7748 section 5.2 says")
    func multiplication() throws {
        let first = try multiply(
            hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
            hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))
        #expect(try first == hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"))
        // The second point has its top bit set, which must be ignored.
        let second = try multiply(
            hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
            hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"))
        #expect(try second == hex("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"))
    }

    @Test("arrives where RFC 7748 section 5.2 does after one and a thousand iterations")
    func iteration() throws {
        var k = [UInt8](repeating: 0, count: 32)
        k[0] = 9
        var u = k
        for round in 1...1000 {
            (k, u) = (try multiply(k, u), k)
            if round == 1 {
                #expect(try k == hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"))
            }
        }
        #expect(try k == hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"))
    }

    @Test("lets two parties agree on one secret, as in RFC 7748 section 6.1")
    func agreement() throws {
        let alice = try X25519PrivateKey(secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
        let bob = try X25519PrivateKey(secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        #expect(alice.publicKey.bytes.hex == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(bob.publicKey.bytes.hex == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let shared = try hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
        #expect(bytes(try alice.sharedSecret(with: bob.publicKey)) == shared)
        #expect(bytes(try bob.copy().sharedSecret(with: alice.publicKey)) == shared)
    }

    /// The points of order 1, 2, 4 and 8, and their other encodings below 2^255.
    @Test(
        "refuses a peer's key of low order",
        arguments: [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ])
    func lowOrder(point: String) throws {
        var entropy = Entropy(seed: 1)
        let key = X25519PrivateKey(&entropy)
        let peer = X25519PublicKey(try fixed(Bytes32.self, point))
        #expect(throws: PrimitiveError.invalidPublicKey) { _ = bytes(try key.sharedSecret(with: peer)) }
    }

    @Test("takes a private key of 32 bytes only")
    func length() throws {
        for count in [0, 31, 33, 64] {
            #expect(throws: PrimitiveError.wrongLength(expected: 32, actual: count)) {
                _ = try X25519PrivateKey(SecretBytes(count: count)).publicKey
            }
        }
    }
}

@Suite("Ed25519")
struct Ed25519Tests {
    struct Case: Sendable {
        let seed: String
        let key: String?
        let message: String
        let signature: String
    }

    /// The 1023 bytes of RFC 8032 section 7.1, test 1024.
    private static let longMessage = """
        08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1\
        e355f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d\
        658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efcb8550ee3a5e1998bd177e93a\
        7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e\
        06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc10\
        3b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed1\
        85ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d\
        502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f270\
        88d78b7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089b\
        eccf80cfe2df16a2cf65bd92dd597b0707e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128ba\
        b27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969b\
        e3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb7\
        51fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb038dda0847dd988d\
        cda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34df\
        f7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7\
        984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e4\
        88acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac09\
        43bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5f\
        b93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b50d334ba77c225bc307ba537152f3f161\
        0e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380d\
        b2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8ca\
        c60c905c15fc910840b94c00a0b9d0
        """

    /// RFC 8032 section 7.1: all five tests.
    static let published = [
        Case(
            seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", message: "",
            signature: "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
                + "b46bd25bf5f0595bbe24655141438e7a100b"),
        Case(
            seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            key: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", message: "72",
            signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
                + "1d8c387b2eaeb4302aeeb00d291612bb0c00"),
        Case(
            seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            key: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", message: "af82",
            signature: "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
                + "c6594a7c15e9716ed28dc027beceea1ec40a"),
        Case(
            seed: "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
            key: "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e", message: longMessage,
            signature: "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa5371b1508f9f4528ecea23c436"
                + "d94b5e8fcd4f681e30a6ac00a9704a188a03"),
        Case(
            seed: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", key: nil,
            message: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feeb"
                + "bd454d4423643ce80e2a9ac94fa54ca49f",
            signature: "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431"
                + "e0303dca179c138ac17ad9bef1177331a704"),
    ]

    @Test("signs and verifies as RFC 8032 section 7.1 says", arguments: published)
    func known(_ known: Case) throws {
        let key = try SigningKey(seed: secret(known.seed))
        if let expected = known.key { #expect(key.publicKey.bytes.hex == expected) }
        let message = try hex(known.message)
        let signature = key.sign(message)
        #expect(signature.bytes.hex == known.signature)
        #expect(key.publicKey.isValid(signature, for: message))
        #expect(key.copy().sign(message) == signature)
    }

    @Test("refuses a signature when any bit of it, the message or the key is flipped")
    func flips() throws {
        var entropy = Entropy(seed: 2)
        let key = SigningKey(&entropy)
        let message = entropy.array(20)
        let signature = key.sign(message)
        for bit in 0..<512 {
            var bad = signature.bytes
            bad.withUnsafeMutableBytes { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
            #expect(!key.publicKey.isValid(Signature(bad), for: message), "bit \(bit) of the signature")
        }
        for bit in 0..<256 {
            var bad = key.publicKey.bytes
            bad.withUnsafeMutableBytes { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
            #expect(!VerifyingKey(bad).isValid(signature, for: message), "bit \(bit) of the key")
        }
        for bit in 0..<160 {
            var bad = message
            bad[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!key.publicKey.isValid(signature, for: bad), "bit \(bit) of the message")
        }
    }

    @Test("refuses a second form of a signature, with the group order added to S")
    func malleability() throws {
        var entropy = Entropy(seed: 3)
        let key = SigningKey(&entropy)
        let signature = key.sign([1, 2, 3])
        // L of RFC 8032 section 5.1, little-endian.
        let order = try hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        var bad = signature.bytes
        bad.withUnsafeMutableBytes { raw in
            var carry: UInt16 = 0
            for index in 0..<32 {
                carry += UInt16(raw[32 + index]) + UInt16(order[index])
                raw[32 + index] = UInt8(truncatingIfNeeded: carry)
                carry >>= 8
            }
        }
        #expect(!key.publicKey.isValid(Signature(bad), for: [1, 2, 3]))
    }

    @Test("refuses a key of low order, under which one signature fits every message")
    func lowOrder() throws {
        var identity = Bytes32()
        identity.withUnsafeMutableBytes { $0[0] = 1 }
        var forged = Bytes64()
        forged.withUnsafeMutableBytes { $0[0] = 1 }
        #expect(!VerifyingKey(identity).isValid(Signature(forged), for: [1]))
    }
}
