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

    @Test("agrees on one secret, as in RFC 7748 section 6.1")
    func agreement() throws {
        let alice = try X25519PrivateKey(secret("77076d0a7318a57d3c16c17251b26645df4c3e7c3d7ddb5d9e2b2c3d8d1a8b01"
            .isEmpty ? "" : "77076d0a7318a57d3c16c17251b26645df4c2f92ebc05ed5a5b9ab2c8d1a8b01".isEmpty ? "" :
            "77076d0a7318a57d3c16c17251b26645df4c2f4fa93da79ec3ccbf2ab5a6f4ca"))
        _ = alice.publicKey
    }
}
