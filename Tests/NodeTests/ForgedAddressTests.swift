import Directory
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Link

/// A link endpoint and a directory as a node joins them.
private struct Responder: ~Copyable {
    let publicKey: X25519PublicKey
    let address = SocketAddress(v4: (10, 0, 0, 1), port: 4000)
    var now = Timestamp(seconds: 1_700_000_000)
    private var endpoint: DatagramEndpoint
    private var core: DirectoryCore
    private var store = MemoryStore()
    private var entropy = Entropy(seed: 901)
    private(set) var sent: [(bytes: [UInt8], to: SocketAddress)] = []

    init() throws {
        let key = X25519PrivateKey(&entropy)
        publicKey = key.publicKey
        endpoint = DatagramEndpoint(key: key, entropy: &entropy)
        core = try DirectoryCore(
            serverID: SigningKey(&entropy).publicKey, descriptor: [], now: now, store: store)
    }

    mutating func receive(_ datagram: [UInt8], from address: SocketAddress) throws {
        try perform(endpoint.receive(datagram, from: address, now: now, entropy: &entropy))
    }

    mutating func wait(milliseconds: UInt64) throws {
        let end = now.adding(milliseconds: milliseconds)
        while now < end {
            now = min(end, now.adding(milliseconds: 100))
            try perform(endpoint.wake(now: now, entropy: &entropy))
            try perform(core.handle(.wake, now: now, entropy: &entropy, store: &store))
        }
    }

    func bytes(to address: SocketAddress) -> Int {
        sent.reduce(0) { $0 + ($1.to == address ? $1.bytes.count : 0) }
    }

    private mutating func perform(_ effects: [DatagramEndpoint.Effect]) throws {
        for effect in effects {
            switch effect {
            case .send(let bytes, let to): sent.append((bytes, to))
            case .requested(let token, let peer, let from, let isProven, let body):
                let event = DirectoryEvent.request(
                    from: Endpoint(linkKey: peer, address: from), isProven: isProven, token: token, message: body)
                try perform(core.handle(event, now: now, entropy: &entropy, store: &store))
            case .answered(let call, let body):
                try perform(
                    core.handle(.answer(call: call, message: body), now: now, entropy: &entropy, store: &store))
            case .failed(let call):
                try perform(core.handle(.failed(call: call), now: now, entropy: &entropy, store: &store))
            }
        }
    }

    private mutating func perform(_ effects: [DirectoryEffect]) throws {
        for effect in effects {
            switch effect {
            case .answer(let token, let message):
                try perform(endpoint.answer(token, message, now: now, entropy: &entropy))
            case .call(let call, let to, let message):
                try perform(
                    endpoint.call(
                        call, to: to.address, peer: to.linkKey, request: message, now: now, entropy: &entropy))
            default: break
            }
        }
    }
}

/// Who may write any source address on its datagrams, and receives at its own only.
private struct Caller: ~Copyable {
    static let own = SocketAddress(v4: (10, 0, 0, 2), port: 4000)
    static let forged = SocketAddress(v4: (10, 0, 0, 3), port: 4000)

    private var endpoint: DatagramEndpoint
    private var entropy = Entropy(seed: 902)
    private var name: UInt64 = 0

    init() { endpoint = DatagramEndpoint(key: X25519PrivateKey(&entropy), entropy: &entropy) }

    /// The datagram of a new call: in the session if there is one, else a first message.
    mutating func datagram(to responder: borrowing Responder) throws -> [UInt8] {
        name += 1
        let request = DirectoryMessage.findNode(target: Bytes32()).encode()
        let effects = endpoint.call(
            name, to: responder.address, peer: responder.publicKey, request: request, now: responder.now,
            entropy: &entropy)
        guard case .send(let bytes, _) = try #require(effects.first) else { return [] }
        return bytes
    }

    mutating func hear(_ responder: borrowing Responder) {
        for (bytes, to) in responder.sent where to == Caller.own {
            _ = endpoint.receive(bytes, from: responder.address, now: responder.now, entropy: &entropy)
        }
    }
}

@Suite("Forged addresses")
struct ForgedAddressTests {
    @Test("a forged address gets no more bytes than came from it, in a first message, a repeated one or a session")
    func amplification() throws {
        for (first, repeated) in [
            (Caller.forged, nil), (Caller.own, nil), (Caller.forged, Caller.own), (Caller.own, Caller.forged),
        ] {
            var responder = try Responder()
            var caller = Caller()
            let initiation = try caller.datagram(to: responder)
            var came = 0
            for source in [first, repeated].compactMap({ $0 }) {
                try responder.receive(initiation, from: source)
                if source == Caller.forged { came += initiation.count }
            }
            caller.hear(responder)
            let second = try caller.datagram(to: responder)
            try responder.receive(second, from: Caller.forged)
            came += second.count
            try responder.wait(milliseconds: 30_000)
            let got = responder.bytes(to: Caller.forged)
            #expect(got > 0 && got <= came, "\(got) of \(came), first from \(first)")
        }
    }

    @Test("who asks again in its session, from where it had the answer, is asked who it is")
    func acquaintance() throws {
        var responder = try Responder()
        var caller = Caller()
        try responder.receive(try caller.datagram(to: responder), from: Caller.own)
        #expect(responder.sent.count == 1)
        caller.hear(responder)
        try responder.receive(try caller.datagram(to: responder), from: Caller.own)
        #expect(responder.sent.count == 3)
    }
}
