import Primitives
import Testing

private let sunscreen = Array(
    ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
        + "would be it.").utf8)

@Suite("ChaCha20 and its authenticated forms")
struct ChaChaTests {
    @Test("encrypt as RFC 8439 section 2.4.2 says")
    func stream() throws {
        var buffer = sunscreen
        let key = (0..<32).map { UInt8($0) }
        let nonce = try hex("000000000000004a00000000")
        buffer.withUnsafeMutableBytes { buffer in
            key.withUnsafeBytes { key in
                nonce.withUnsafeBytes { ChaCha20.xor(buffer, key: key, nonce: $0, counter: 1) }
            }
        }
        #expect(
            try buffer
                == hex(
                    """
                    6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b
                    f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8
                    07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736
                    5af90bbf74a35be6b40b8eedf2785e42874d
                    """))
    }

    @Test("give the one-time stream of an all-zero nonce, as RFC 8439 appendix A.1 test vector 1 has it")
    func oneTime() throws {
        let expected = try hex(
            """
            76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7
            da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586
            """)
        let key = [UInt8](repeating: 0, count: 32)
        var stream = [UInt8](repeating: 1, count: 64)
        var zeros = [UInt8](repeating: 0, count: 64)
        key.withUnsafeBytes { key in
            stream.withUnsafeMutableBytes { ChaCha20.stream(into: $0, oneTimeKey: key) }
            zeros.withUnsafeMutableBytes { ChaCha20.xor($0, oneTimeKey: key) }
        }
        #expect(stream == expected)
        #expect(zeros == expected)
    }

    @Test("seal as RFC 8439 section 2.8.2 says, and open only what nobody has changed")
    func aead() throws {
        let key = (0x80..<0xa0).map { UInt8($0) }
        let nonce = try hex("070000004041424344454647")
        let associated = try hex("50515253c0c1c2c3c4c5c6c7")
        let expected = try hex(
            """
            d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
            3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
            92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
            3ff4def08e4b7a9de576d26586cec64b6116
            1ae10b594f09e26a7e902ecbd0600691
            """)
        func seal(_ buffer: inout [UInt8]) {
            buffer.withUnsafeMutableBytes { buffer in
                key.withUnsafeBytes { key in
                    nonce.withUnsafeBytes { nonce in
                        associated.withUnsafeBytes { ChaChaPoly.seal(buffer, key: key, nonce: nonce, associated: $0) }
                    }
                }
            }
        }
        func open(_ buffer: inout [UInt8], _ associated: [UInt8]) throws {
            try buffer.withUnsafeMutableBytes { buffer in
                try key.withUnsafeBytes { key in
                    try nonce.withUnsafeBytes { nonce in
                        try associated.withUnsafeBytes {
                            try ChaChaPoly.open(buffer, key: key, nonce: nonce, associated: $0)
                        }
                    }
                }
            }
        }
        var sealed = sunscreen + [UInt8](repeating: 0, count: ChaChaPoly.tagSize)
        seal(&sealed)
        #expect(sealed == expected)
        var opened = sealed
        try open(&opened, associated)
        #expect(Array(opened.dropLast(16)) == sunscreen)
        for index in sealed.indices {
            var bad = sealed
            bad[index] ^= 0x10
            #expect(throws: PrimitiveError.authenticationFailed) { try open(&bad, associated) }
            #expect(Array(bad[32..<64]) != Array(sunscreen[32..<64]), "plaintext of a forgery, byte \(index)")
        }
        var bad = sealed
        #expect(throws: PrimitiveError.authenticationFailed) { try open(&bad, Array(associated.dropLast())) }
        var short = [UInt8](repeating: 0, count: 15)
        #expect(throws: PrimitiveError.authenticationFailed) { try open(&short, associated) }
    }

    @Test("open what they sealed under a one-time key, at any length")
    func once() throws {
        var entropy = Entropy(seed: 4)
        let key = secret(entropy.array(32))
        for size in [0, 1, 63, 64, 65, 2000] {
            let message = entropy.array(size)
            let sealed = ChaChaPoly.sealOnce(message, key: key, associated: [7])
            #expect(sealed.count == size + 16)
            #expect(try ChaChaPoly.openOnce(sealed, key: key, associated: [7]) == message)
            #expect(throws: PrimitiveError.authenticationFailed) {
                try ChaChaPoly.openOnce(sealed, key: key, associated: [8])
            }
            #expect(throws: PrimitiveError.authenticationFailed) {
                try ChaChaPoly.openOnce(Array(sealed.dropLast()), key: key, associated: [7])
            }
        }
    }

    @Test("seal with a long nonce as draft-irtf-cfrg-xchacha-03 appendix A.3.1 says")
    func extended() throws {
        let key = secret((0x80..<0xa0).map { UInt8($0) })
        let nonce = try fixed(Bytes24.self, "404142434445464748494a4b4c4d4e4f5051525354555657")
        let associated = try hex("50515253c0c1c2c3c4c5c6c7")
        let sealed = XChaChaPoly.seal(sunscreen, key: key, nonce: nonce, associated: associated)
        #expect(
            try sealed
                == hex(
                    """
                    bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
                    731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452
                    2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
                    21f9664c97637da9768812f615c68b13b52e
                    c0875924c1c7987947deafd8780acf49
                    """))
        #expect(try XChaChaPoly.open(sealed, key: key, nonce: nonce, associated: associated) == sunscreen)
        for index in sealed.indices {
            var bad = sealed
            bad[index] ^= 1
            #expect(throws: PrimitiveError.authenticationFailed) {
                try XChaChaPoly.open(bad, key: key, nonce: nonce, associated: associated)
            }
        }
        #expect(throws: PrimitiveError.authenticationFailed) {
            try XChaChaPoly.open(Array(sealed.prefix(15)), key: key, nonce: nonce, associated: associated)
        }
    }
}

@Suite("BLAKE2b")
struct BLAKE2bTests {
    @Test("hashes abc as RFC 7693 appendix A says")
    func abc() throws {
        var hash = BLAKE2b(outputCount: 64)
        hash.update(Array("abc".utf8))
        let digest: Bytes64 = hash.finalize()
        #expect(
            digest.hex == "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                + "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923")
    }

    /// RFC 7693 appendix E: the hash of all hashes of four output and six input lengths, without and with key.
    @Test("passes the self-test of RFC 7693 appendix E")
    func selfTest() throws {
        func sequence(_ count: Int) -> [UInt8] {
            var a: UInt32 = 0xdead_4bad &* UInt32(count)
            var b: UInt32 = 1
            return (0..<count).map { _ in
                let sum = a &+ b
                (a, b) = (b, sum)
                return UInt8(sum >> 24)
            }
        }
        func digest(_ size: Int, _ message: [UInt8], key: [UInt8]) -> [UInt8] {
            var out = [UInt8](repeating: 0, count: size)
            out.withUnsafeMutableBytes { out in
                key.withUnsafeBytes { key in
                    var hash = BLAKE2b(outputCount: size, key: key)
                    hash.update(message)
                    hash.finalize(into: out)
                }
            }
            return out
        }
        var all = BLAKE2b(outputCount: 32)
        for size in [20, 32, 48, 64] {
            for count in [0, 3, 128, 129, 255, 1024] {
                all.update(digest(size, sequence(count), key: []))
                all.update(digest(size, sequence(count), key: sequence(size)))
            }
        }
        let grand: Bytes32 = all.finalize()
        #expect(grand.hex == "c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475")
    }

    @Test("gives the same whether the message comes at once or in pieces")
    func pieces() {
        var entropy = Entropy(seed: 5)
        let message = entropy.array(1000)
        let whole = BLAKE2b.h(Domain("hulda/test"), message)
        for size in [1, 7, 127, 128, 129, 999] {
            var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/test"))
            for start in stride(from: 0, to: 1000, by: size) {
                hash.update(Array(message[start..<min(start + size, 1000)]))
            }
            let digest: Bytes32 = hash.finalize()
            #expect(digest == whole)
        }
        var value = BLAKE2b(outputCount: 32, domain: Domain("hulda/test"))
        value.update(whole)
        value.update(UInt64(258))
        #expect(value.finalize() == BLAKE2b.h(Domain("hulda/test"), whole, 258))
        #expect(
            BLAKE2b.h(Domain("hulda/test"), whole, 258)
                == BLAKE2b.h(Domain("hulda/test"), whole.bytes + [2, 1, 0, 0, 0, 0, 0, 0]))
    }

    @Test("gives unrelated digests and keys under different domains")
    func domains() {
        #expect(BLAKE2b.h(Domain("hulda/a"), [1]) != BLAKE2b.h(Domain("hulda/b"), [1]))
        let key = secret([UInt8](repeating: 1, count: 32))
        let first = bytes(BLAKE2b.deriveKey(from: key, Domain("hulda/a")))
        #expect(first != bytes(BLAKE2b.deriveKey(from: key, Domain("hulda/b"))))
        #expect(first != bytes(BLAKE2b.deriveKey(from: key, Domain("hulda/a"), context: [0])))
    }
}
