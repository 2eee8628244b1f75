import Primitives
import Wire

/// The MACs that stand before any Diffie–Hellman operation, after WireGuard's (J. Donenfeld, 2017, section 5.4.7).
enum DatagramMAC {
    private static let mac1Domain = Domain("hulda/udp-mac1")
    private static let mac2Domain = Domain("hulda/udp-mac2")
    private static let replyDomain = Domain("hulda/udp-reply")

    private static let mac1Start = Limits.datagramSize - 2 * DatagramFormat.macSize
    private static let mac2Start = Limits.datagramSize - DatagramFormat.macSize

    /// What `mac1` is keyed by: only who knows the responder's link key gets past it.
    static func mac1Key(of responder: X25519PublicKey) -> Bytes32 { BLAKE2b.h(mac1Domain, responder.bytes) }

    /// What a cookie reply is sealed under.
    static func replyKey(of responder: X25519PublicKey) -> SecretBytes {
        var key = BLAKE2b.h(replyDomain, responder.bytes).bytes
        return SecretBytes(taking: &key)
    }

    static func mac1(_ datagram: [UInt8], key: Bytes32) -> Bytes16 {
        key.withUnsafeBytes { DatagramFormat.mac(datagram, first: mac1Start, key: $0, mac1Domain) }
    }

    static func mac2(_ datagram: [UInt8], cookie: Bytes16) -> Bytes16 {
        cookie.withUnsafeBytes { DatagramFormat.mac(datagram, first: mac2Start, key: $0, mac2Domain) }
    }

    /// The `mac1` that an initiation carries.
    static func carriedMAC1(_ datagram: [UInt8]) -> Bytes16 {
        Bytes16(datagram[mac1Start..<mac2Start]) ?? Bytes16()
    }

    /// The `mac2` that an initiation carries.
    static func carriedMAC2(_ datagram: [UInt8]) -> Bytes16 { Bytes16(datagram[mac2Start...]) ?? Bytes16() }

    /// Both MACs appended to an initiation; without a cookie the second is zero.
    static func append(to body: [UInt8], key: Bytes32, cookie: Bytes16?) -> [UInt8] {
        var datagram = body
        datagram += mac1(datagram, key: key).bytes
        datagram += (cookie.map { mac2(datagram, cookie: $0) } ?? Bytes16()).bytes
        return datagram
    }
}

/// The responder's cookies: a MAC of the initiator's address under a secret that changes every two minutes.
struct CookieSource: ~Copyable, Sendable {
    static let secretLifetime: UInt64 = 120_000

    private static let domain = Domain("hulda/udp-cookie")
    private var current: SecretBytes
    private var previous: SecretBytes
    private var changed: Timestamp?

    init(_ entropy: inout Entropy) {
        current = CookieSource.draw(&entropy)
        previous = CookieSource.draw(&entropy)
    }

    private static func draw(_ entropy: inout Entropy) -> SecretBytes {
        var secret = SecretBytes(count: 32)
        secret.withUnsafeMutableBytes { entropy.fill($0) }
        return secret
    }

    /// The cookie that proves that its holder receives at `address`.
    mutating func cookie(for address: SocketAddress, now: Timestamp, entropy: inout Entropy) -> Bytes16 {
        refresh(now, &entropy)
        return CookieSource.cookie(address, current)
    }

    /// Whether the initiation's `mac2` was made with a cookie for `address`, which proves that its sender receives there.
    mutating func accepts(
        _ datagram: [UInt8], from address: SocketAddress, now: Timestamp, entropy: inout Entropy
    ) -> Bool {
        refresh(now, &entropy)
        let carried = DatagramMAC.carriedMAC2(datagram)
        // Without a cookie it is zero, which most are and no cookie makes.
        guard carried != Bytes16() else { return false }
        let byCurrent = DatagramMAC.mac2(datagram, cookie: CookieSource.cookie(address, current))
        let byPrevious = DatagramMAC.mac2(datagram, cookie: CookieSource.cookie(address, previous))
        return ConstantTime.equal(carried, byCurrent) || ConstantTime.equal(carried, byPrevious)
    }

    /// The clock went back: the secrets serve as long as new ones.
    mutating func turnBack() { changed = nil }

    private mutating func refresh(_ now: Timestamp, _ entropy: inout Entropy) {
        guard let changed else {
            self.changed = now
            return
        }
        let age = now.milliseconds(since: changed)
        guard age >= CookieSource.secretLifetime else { return }
        previous = age >= 2 * CookieSource.secretLifetime ? CookieSource.draw(&entropy) : current.copy()
        current = CookieSource.draw(&entropy)
        self.changed = now
    }

    static func cookie(_ address: SocketAddress, _ secret: borrowing SecretBytes) -> Bytes16 {
        var writer = Writer(capacity: SocketAddress.encodedSize)
        address.encode(&writer)
        return secret.withUnsafeBytes {
            DatagramFormat.mac(writer.bytes, first: writer.bytes.count, key: $0, domain)
        }
    }
}

/// A cookie reply: sealed so that only who knows the responder's key and sent the initiation can use it.
enum CookieReply {
    static func encode(
        receiver: UInt32, cookie: Bytes16, initiation: [UInt8], responder: X25519PublicKey, entropy: inout Entropy
    ) -> [UInt8] {
        let nonce = entropy.bytes(Bytes24.self)
        let sealed = XChaChaPoly.seal(
            cookie.bytes, key: DatagramMAC.replyKey(of: responder), nonce: nonce,
            associated: DatagramMAC.carriedMAC1(initiation).bytes)
        return DatagramFormat.header(DatagramFormat.cookieReply, receiver) + nonce.bytes + sealed
    }

    static func decode(_ datagram: [UInt8], mac1: Bytes16, responder: X25519PublicKey) throws(LinkError) -> Bytes16 {
        let start = DatagramFormat.indexSize
        let middle = start + Bytes24.count
        guard datagram.count == DatagramFormat.cookieReplySize, let nonce = Bytes24(datagram[start..<middle])
        else { throw .malformed }
        do throws(PrimitiveError) {
            let bytes = try XChaChaPoly.open(
                Array(datagram[middle...]), key: DatagramMAC.replyKey(of: responder), nonce: nonce,
                associated: mac1.bytes)
            guard let cookie = Bytes16(bytes) else { throw PrimitiveError.authenticationFailed }
            return cookie
        } catch {
            throw LinkError(error)
        }
    }
}
