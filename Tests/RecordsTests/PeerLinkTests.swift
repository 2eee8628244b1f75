import Primitives
import Records
import Testing
import Wire

@Suite("A peer link")
struct PeerLinkTests {
    private let cluster: VerifyingKey
    private let link: X25519PublicKey

    init() {
        var entropy = Entropy(seed: 50)
        cluster = VerifyingKey(entropy.bytes())
        link = X25519PublicKey(entropy.bytes())
    }

    private var keys: String { Bech32m.encode(prefix: "huldap", cluster.bytes.bytes + link.bytes.bytes) }

    @Test(
        "is read back with names and addresses of both kinds",
        arguments: [
            ("relay.example.org", "relay.example.org"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"),
            ("2001:db8::1", "[2001:db8::1]"), ("::1", "[::1]"), ("::", "[::]"),
        ])
    func roundTrip(host: String, printed: String) throws {
        let made = try PeerLink(clusterID: cluster, linkKey: link, host: host, port: 4711)
        #expect(made.text == "hulda-peer:\(keys)@\(printed):4711")
        let read = try PeerLink(text: made.text)
        #expect(read == made)
        #expect(read.clusterID == cluster)
        #expect(read.linkKey == link)
    }

    @Test("of an address has that address, of a name has none until it is resolved")
    func addresses() throws {
        let v4 = SocketAddress(v4: (192, 0, 2, 1), port: 9)
        #expect(PeerLink(clusterID: cluster, linkKey: link, address: v4).address == v4)
        let raw: [UInt8] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]
        let v6 = SocketAddress(address: try #require(Bytes16(raw)), port: 9)
        let made = PeerLink(clusterID: cluster, linkKey: link, address: v6)
        #expect(made.address == v6)
        #expect(try PeerLink(text: made.text).address == v6)
        #expect(try PeerLink(clusterID: cluster, linkKey: link, host: "2001:db8::5", port: 9).address == v6)
        #expect(try PeerLink(clusterID: cluster, linkKey: link, host: "::ffff", port: 9).address != nil)
        #expect(try PeerLink(clusterID: cluster, linkKey: link, host: "example.org", port: 9).address == nil)
        #expect(try PeerLink(clusterID: cluster, linkKey: link, host: "1.2.3.256", port: 9).address == nil)
    }

    @Test("is refused for the right reason")
    func failures() throws {
        func expect(_ failure: PeerLink.Failure, _ text: String) {
            #expect(throws: failure, "\(text)") { try PeerLink(text: text) }
        }
        expect(.noScheme, "")
        expect(.noScheme, "hulda:\(keys)@h:1")
        expect(.noAddress, "hulda-peer:\(keys)")
        expect(.noAddress, "hulda-peer:\(keys)@host")
        expect(.keys(.wrongPrefix(expected: "huldap")), "hulda-peer:\(Bech32m.encode(prefix: "hulda", [1]))@h:1")
        expect(.wrongLength(63), "hulda-peer:\(Bech32m.encode(prefix: "huldap", [UInt8](repeating: 0, count: 63)))@h:1")
        for host in ["", "a b", "a_b", "å", "a@b", ":::", "1::2::3", "[::1", String(repeating: "a", count: 254)] {
            expect(.invalidHost, "hulda-peer:\(keys)@\(host):1")
        }
        for port in ["", "0", "65536", "-1", "+1", "1x", " 1", "٣"] {
            expect(.invalidPort, "hulda-peer:\(keys)@h:\(port)")
        }
        var mistyped = Array(keys)
        mistyped[20] = mistyped[20] == "q" ? "p" : "q"
        expect(.keys(.checksumMismatch), "hulda-peer:\(String(mistyped))@h:1")
    }

    @Test("of port 0, which its own text could not say, cannot be made")
    func portZero() {
        #expect(throws: PeerLink.Failure.invalidPort) {
            try PeerLink(clusterID: cluster, linkKey: link, host: "h", port: 0)
        }
    }

    @Test("answers any text with a link or a failure, and prints what it read")
    func noise() throws {
        var entropy = Entropy(seed: 51)
        let characters = Array("hulda-per:@[]0123456789.fqz %#\u{0}å\u{301}")
        let genuine = Array("hulda-peer:\(keys)@[2001:db8::1]:4711")
        for round in 0..<5000 {
            var text = round % 2 == 0 ? genuine : []
            for _ in 0..<(1 + entropy.below(5)) {
                let place = entropy.below(text.count + 1)
                text.insert(characters[entropy.below(characters.count)], at: place)
                if entropy.below(2) == 0 { text.remove(at: entropy.below(text.count)) }
            }
            if let link = try? PeerLink(text: String(text)) {
                #expect(try PeerLink(text: link.text) == link)
            }
        }
    }
}
