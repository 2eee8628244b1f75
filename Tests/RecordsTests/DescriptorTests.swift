import Primitives
import Records
import Testing
import Wire

/// A cluster with one server, made from a seed.
private struct Fixture: ~Copyable {
    static let now = Timestamp(seconds: 1_800_000_000)
    let clusterKey: SigningKey
    let serverKey: SigningKey
    let linkKey: X25519PublicKey
    let mixKeys: [MixKeyEntry]

    init(seed: UInt64) {
        var entropy = Entropy(seed: seed)
        clusterKey = SigningKey(&entropy)
        serverKey = SigningKey(&entropy)
        linkKey = X25519PrivateKey(&entropy).publicKey
        let epoch = Fixture.now.epoch
        mixKeys = [
            MixKeyEntry(epoch: epoch, key: X25519PrivateKey(&entropy).publicKey),
            MixKeyEntry(epoch: epoch + 1, key: X25519PrivateKey(&entropy).publicKey),
        ]
    }

    func certificate(days: UInt64 = 30) -> ServerCertificate {
        ServerCertificate(
            server: serverKey.publicKey, expiry: Fixture.now.seconds + days * 86_400, cluster: clusterKey)
    }

    func server(
        sequence: UInt64 = 1, lifetime: UInt64 = 86_400, certificateDays: UInt64 = 30, mixKeys: [MixKeyEntry]? = nil,
        software: String = "hulda 1"
    ) throws(DescriptorError) -> ServerDescriptor {
        try ServerDescriptor(
            certificate: certificate(days: certificateDays), sequence: sequence,
            expiry: Fixture.now.seconds + lifetime, linkKey: linkKey, tcp: SocketAddress(v4: (127, 1, 2, 3), port: 7),
            udp: SocketAddress(v4: (127, 1, 2, 3), port: 8), roles: [.relay, .home], mixKeys: mixKeys ?? self.mixKeys,
            software: software, key: serverKey)
    }

    func cluster(
        name: String = "Blåklint", endorsements: [VerifyingKey] = [], lifetime: UInt64 = 86_400
    ) throws(DescriptorError) -> ClusterDescriptor {
        try ClusterDescriptor(
            name: name, sequence: 3, expiry: Fixture.now.seconds + lifetime, endorsements: endorsements,
            contact: "ops@example.org", software: "hulda 1", policy: [.openGateway], key: clusterKey)
    }
}

/// Every copy of `bytes` with one bit flipped must be refused by `check`.
private func expectEveryFlipRefused(_ bytes: [UInt8], _ check: ([UInt8]) throws -> Void) {
    for bit in 0..<(bytes.count * 8) {
        var bad = bytes
        bad[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(throws: (any Error).self, "bit \(bit) flipped") { try check(bad) }
    }
}

@Suite("A server descriptor")
struct ServerDescriptorTests {
    @Test("is read back as it was signed, and verifies")
    func roundTrip() throws {
        let fixture = Fixture(seed: 1)
        let descriptor = try fixture.server()
        let bytes = descriptor.encode()
        #expect(bytes.count <= Limits.descriptorSize)
        let read = try ServerDescriptor(decoding: bytes)
        #expect(read == descriptor)
        #expect(read.encode() == bytes)
        try read.verify(at: Fixture.now)
        #expect(read.isCurrent(at: Fixture.now))
        #expect(read.nodeID == Node.id(of: fixture.serverKey.publicKey))
        #expect(read.nodeID == BLAKE2b.h(Domain("hulda/node"), fixture.serverKey.publicKey.bytes))
        #expect(read.mixKey(epoch: Fixture.now.epoch) == fixture.mixKeys[0].key)
        #expect(read.mixKey(epoch: Fixture.now.epoch + 2) == nil)
    }

    @Test("has the layout of specs/map.md")
    func layout() throws {
        let fixture = Fixture(seed: 1)
        let bytes = try fixture.server().encode()
        // kind, version, cluster, server, sequence, expiry, certificate, link key, two addresses, roles, mix keys,
        // software, signature
        #expect(bytes.count == 1 + 1 + 32 + 32 + 8 + 8 + 8 + 64 + 32 + 18 + 18 + 2 + 1 + 2 * 40 + 2 + 7 + 64)
        #expect(Array(bytes[0..<2]) == [2, 1])
        #expect(Array(bytes[2..<34]) == fixture.clusterKey.publicKey.bytes.bytes)
        #expect(Array(bytes[34..<66]) == fixture.serverKey.publicKey.bytes.bytes)
        #expect(Array(bytes[66..<74]) == [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(bytes[154..<186]) == fixture.linkKey.bytes.bytes)
        #expect(Array(bytes[222..<225]) == [3, 0, 2])
    }

    @Test("is refused when any bit of it is flipped")
    func flips() throws {
        let fixture = Fixture(seed: 2)
        expectEveryFlipRefused(try fixture.server().encode()) { bytes in
            try ServerDescriptor(decoding: bytes).verify(at: Fixture.now)
        }
    }

    @Test("is refused when cut anywhere, lengthened, or oversized")
    func sizes() throws {
        let fixture = Fixture(seed: 3)
        let bytes = try fixture.server().encode()
        for count in 0..<bytes.count {
            #expect(throws: DescriptorError.malformed(.truncated)) {
                try ServerDescriptor(decoding: Array(bytes.prefix(count)))
            }
        }
        #expect(throws: DescriptorError.malformed(.trailingBytes(1))) { try ServerDescriptor(decoding: bytes + [0]) }
        let huge = bytes + [UInt8](repeating: 0, count: Limits.descriptorSize)
        #expect(throws: DescriptorError.oversize(huge.count)) { try ServerDescriptor(decoding: huge) }
    }

    @Test("counts until it or its certificate expires, and may not claim to last longer than four days")
    func lifetimes() throws {
        let fixture = Fixture(seed: 4)
        let now = Fixture.now
        let descriptor = try fixture.server(lifetime: 100)
        try descriptor.verify(at: now.adding(seconds: 99))
        #expect(throws: DescriptorError.expired) { try descriptor.verify(at: now.adding(seconds: 100)) }
        #expect(!descriptor.isCurrent(at: now.adding(seconds: 100)))
        let longest = DescriptorLifetime.server + DescriptorLifetime.clockSkew
        try fixture.server(lifetime: longest).verify(at: now)
        let eternal = try fixture.server(lifetime: longest + 1)
        #expect(throws: DescriptorError.lastsTooLong) { try eternal.verify(at: now) }
        let uncertified = try fixture.server(lifetime: 2 * 86_400, certificateDays: 1)
        #expect(throws: DescriptorError.expired) { try uncertified.verify(at: now.adding(seconds: 86_400)) }
        #expect(!uncertified.isCurrent(at: now.adding(seconds: 86_400)))
        try uncertified.verify(at: now)
    }

    @Test("cannot be signed by another key, or with impossible fields")
    func impossible() throws {
        let fixture = Fixture(seed: 5)
        let other = Fixture(seed: 6)
        #expect(throws: DescriptorError.foreignKey) {
            try ServerDescriptor(
                certificate: other.certificate(), sequence: 1, expiry: Fixture.now.seconds + 60,
                linkKey: fixture.linkKey, tcp: SocketAddress(v4: (127, 0, 0, 1), port: 1),
                udp: SocketAddress(v4: (127, 0, 0, 1), port: 1), roles: [], mixKeys: fixture.mixKeys, software: "",
                key: fixture.serverKey)
        }
        let noKeys = DescriptorError.malformed(.outOfRange(field: "mixKeys"))
        #expect(throws: noKeys) { try fixture.server(mixKeys: []) }
        #expect(throws: noKeys) { try fixture.server(mixKeys: [fixture.mixKeys[0], fixture.mixKeys[0]]) }
        #expect(throws: noKeys) {
            try fixture.server(mixKeys: (0..<4).map { MixKeyEntry(epoch: $0, key: fixture.linkKey) })
        }
        #expect(throws: DescriptorError.malformed(.outOfRange(field: "software"))) {
            try fixture.server(software: String(repeating: "x", count: 65))
        }
    }

    @Test("whose certificate belongs to another server, or names another cluster, is refused")
    func stolenCertificate() throws {
        let fixture = Fixture(seed: 7)
        let thief = Fixture(seed: 8)
        var bytes = try thief.server().encode()
        let genuine = try fixture.server().encode()
        // The thief puts the other's cluster and certificate into its own, and cannot sign as that server.
        bytes.replaceSubrange(2..<34, with: genuine[2..<34])
        bytes.replaceSubrange(82..<154, with: genuine[82..<154])
        let signed = thief.serverKey.sign(BLAKE2b.h(Domain("hulda/server"), Array(bytes.dropLast(64))).bytes)
        bytes.replaceSubrange((bytes.count - 64)..., with: signed.bytes.bytes)
        let forged = try ServerDescriptor(decoding: bytes)
        #expect(throws: DescriptorError.wrongCertificate) { try forged.verify(at: Fixture.now) }
    }
}

@Suite("A cluster descriptor")
struct ClusterDescriptorTests {
    @Test("is read back as it was signed, with its endorsements in order, and verifies")
    func roundTrip() throws {
        let fixture = Fixture(seed: 10)
        let others = (11..<40).map { Fixture(seed: $0).clusterKey.publicKey }
        let descriptor = try fixture.cluster(endorsements: others + others.prefix(3))
        #expect(descriptor.endorsements == others.sorted())
        let read = try ClusterDescriptor(decoding: descriptor.encode())
        #expect(read == descriptor)
        #expect(read.name == "Blåklint")
        try read.verify(at: Fixture.now)
    }

    @Test("is refused when any bit of it is flipped")
    func flips() throws {
        let fixture = Fixture(seed: 11)
        expectEveryFlipRefused(try fixture.cluster(endorsements: [fixture.serverKey.publicKey]).encode()) { bytes in
            try ClusterDescriptor(decoding: bytes).verify(at: Fixture.now)
        }
    }

    @Test("fits its size limit with everything at its longest, and takes no more")
    func limits() throws {
        let fixture = Fixture(seed: 12)
        var entropy = Entropy(seed: 12)
        let keys = (0..<48).map { _ in VerifyingKey(entropy.bytes()) }
        let largest = try ClusterDescriptor(
            name: String(repeating: "n", count: 64), sequence: .max, expiry: Fixture.now.seconds + 60,
            endorsements: keys, contact: String(repeating: "c", count: 128),
            software: String(repeating: "s", count: 64),
            policy: [], key: fixture.clusterKey)
        #expect(largest.encode().count <= Limits.descriptorSize)
        #expect(try ClusterDescriptor(decoding: largest.encode()) == largest)
        #expect(throws: DescriptorError.malformed(.outOfRange(field: "endorsements"))) {
            try fixture.cluster(endorsements: keys + [fixture.serverKey.publicKey])
        }
        #expect(throws: DescriptorError.malformed(.outOfRange(field: "name"))) {
            try fixture.cluster(name: String(repeating: "å", count: 33))
        }
    }

    @Test("with endorsements out of order or repeated has no second encoding")
    func canonical() throws {
        let fixture = Fixture(seed: 13)
        let keys = [Fixture(seed: 14).clusterKey.publicKey, Fixture(seed: 15).clusterKey.publicKey].sorted()
        let bytes = try fixture.cluster(endorsements: keys).encode()
        let start = bytes.count - 64 - 64
        let signature = Array(bytes[(start + 64)...])
        let (low, high) = (keys[0].bytes.bytes, keys[1].bytes.bytes)
        let swapped = Array(bytes[..<start]) + high + low + signature
        let repeated = Array(bytes[..<start]) + low + low + signature
        for bad in [swapped, repeated] {
            #expect(throws: DescriptorError.malformed(.outOfRange(field: "endorsements"))) {
                try ClusterDescriptor(decoding: bad)
            }
        }
    }

    @Test("expires, and may not claim to last longer than 400 days")
    func lifetimes() throws {
        let fixture = Fixture(seed: 16)
        let descriptor = try fixture.cluster(lifetime: 100)
        #expect(throws: DescriptorError.expired) { try descriptor.verify(at: Fixture.now.adding(seconds: 100)) }
        let eternal = try fixture.cluster(lifetime: 401 * 86_400)
        #expect(throws: DescriptorError.lastsTooLong) { try eternal.verify(at: Fixture.now) }
    }
}

@Suite("A server certificate")
struct ServerCertificateTests {
    @Test("is read back, verifies until it expires, and is refused when any bit is flipped")
    func certificate() throws {
        let fixture = Fixture(seed: 20)
        let certificate = fixture.certificate(days: 1)
        let bytes = certificate.encode()
        #expect(bytes.count == ServerCertificate.encodedSize)
        #expect(try ServerCertificate(decoding: bytes) == certificate)
        try certificate.verify(at: Fixture.now.adding(seconds: 86_399))
        #expect(throws: DescriptorError.expired) { try certificate.verify(at: Fixture.now.adding(seconds: 86_400)) }
        expectEveryFlipRefused(bytes) { try ServerCertificate(decoding: $0).verify(at: Fixture.now) }
        for count in 0..<bytes.count {
            #expect(throws: WireError.truncated) { try ServerCertificate(decoding: Array(bytes.prefix(count))) }
        }
        #expect(throws: WireError.trailingBytes(1)) { try ServerCertificate(decoding: bytes + [0]) }
    }
}

@Suite("Descriptors under noise")
struct DescriptorFuzzTests {
    @Test("are never believed, and reading them never fails otherwise than with a typed error")
    func noise() throws {
        let seed: UInt64 = 20_260_702
        print("descriptors: seed \(seed)")
        var entropy = Entropy(seed: seed)
        let fixture = Fixture(seed: seed)
        let genuine = [
            try fixture.server().encode(), try fixture.cluster(endorsements: [fixture.serverKey.publicKey]).encode(),
        ]
        for round in 0..<10_000 {
            var bytes = genuine[entropy.below(2)]
            if round % 4 == 0 {
                bytes = [UInt8(1 + entropy.below(2)), 1] + entropy.array(entropy.below(600))
            } else {
                for _ in 0..<(1 + entropy.below(4)) {
                    let place = entropy.below(bytes.count)
                    switch entropy.below(4) {
                    case 0: bytes[place] = UInt8(entropy.below(256))
                    case 1: bytes.remove(at: place)
                    case 2: bytes.insert(0xff, at: place)
                    default: bytes.removeSubrange(place..<min(bytes.count, place + 1 + entropy.below(20)))
                    }
                    if bytes.isEmpty { bytes = [1] }
                }
            }
            guard !genuine.contains(bytes) else { continue }
            #expect(throws: DescriptorError.self) { try ServerDescriptor(decoding: bytes).verify(at: Fixture.now) }
            #expect(throws: DescriptorError.self) { try ClusterDescriptor(decoding: bytes).verify(at: Fixture.now) }
        }
    }
}
