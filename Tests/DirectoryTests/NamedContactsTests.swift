import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("Contacts of which only others speak")
struct NamedContactsTests {
    private static func victim(_ number: Int, _ entropy: inout Entropy) -> Contact {
        Contact(
            serverID: VerifyingKey(entropy.bytes()),
            endpoint: Endpoint(
                linkKey: X25519PublicKey(entropy.bytes()),
                address: SocketAddress(v4: (203, 0, UInt8(number / 200), UInt8(number % 200)), port: 4000)))
    }

    /// Makes a server search while the only one that it knows names six contacts in each answer.
    /// - Returns: how many of those it asked.
    private func lure(
        _ network: inout DirectoryNetwork, searches: Int, naming contacts: (Int, inout Entropy) -> Contact
    ) throws -> Int {
        let liar = network.members[1]
        var asked: [UInt64] = []
        var named = 0
        for _ in 0..<searches {
            let request = DirectoryMessage.iterate(key: VerifyingKey(network.entropy.bytes()), epoch: network.now.epoch)
            var effects = try network.effects(of: .request(from: nil, token: 1, message: request.encode()), at: 0)
            while let effect = effects.popLast() {
                guard case .call(let call, let endpoint, _) = effect else { continue }
                guard endpoint == liar.endpoint else {
                    asked.append(call)
                    continue
                }
                let six = (named..<named + 6).map { contacts($0, &network.entropy) }
                named += 6
                let answer = DirectoryMessage.nodes(descriptor: liar.descriptor, six)
                effects += try network.effects(of: .answer(call: call, message: answer.encode()), at: 0)
            }
            network.now = network.now.adding(milliseconds: 10)
        }
        for call in asked { _ = try network.effects(of: .failed(call: call), at: 0) }
        return asked.count
    }

    @Test(
        "are asked as long as few of their prefix are silent: a liar cannot have a victim sent much more than he sends")
    func bound() throws {
        var network = try DirectoryNetwork.joined(seed: 430, 2)
        for round in 0..<2 {
            // Both times within one minute.
            let minute = network.now.milliseconds / NamedContacts.period + 1
            network.now = Timestamp(milliseconds: minute * NamedContacts.period)
            let asked = try lure(&network, searches: 20) { NamedContactsTests.victim($0, &$1) }
            #expect(asked == NamedContacts.limit, "round \(round)")
            let more = try lure(&network, searches: 5) { NamedContactsTests.victim($0, &$1) }
            #expect(more == 0)
            // The liar's own calls and those to others go on.
            #expect(network.members[0].core.counters.searches >= 25)
            let elsewhere = try lure(&network, searches: 1) { number, entropy in
                Contact(
                    serverID: VerifyingKey(entropy.bytes()),
                    endpoint: Endpoint(
                        linkKey: X25519PublicKey(entropy.bytes()),
                        address: SocketAddress(v4: (198, UInt8(number), 0, 1), port: 4000)))
            }
            #expect(elsewhere == 6)
        }
        #expect(network.members[0].core.counters.namedSkipped > 100)
    }

    @Test("are asked without a bound where the map has them, and at no other address")
    func listed() throws {
        var network = try DirectoryNetwork.joined(seed: 431, 2)
        let servers = (0..<60).map { NamedContactsTests.victim($0, &network.entropy) }
        let nodes = servers.map {
            Placement.Node(
                id: $0.nodeID, cluster: $0.serverID, prefix: $0.endpoint.address.prefix, endpoint: $0.endpoint)
        }
        // Of one cluster and prefix only so many lie on the circle.
        _ = try network.effects(of: .map(network.nodes + nodes.prefix(18)), at: 0)
        let asked = try lure(&network, searches: 3) { number, _ in servers[number] }
        #expect(asked == 18)
        _ = try lure(&network, searches: 20) { number, entropy in
            Contact(
                serverID: servers[number % 18].serverID, endpoint: NamedContactsTests.victim(number, &entropy).endpoint)
        }
        let others = try lure(&network, searches: 20) { number, entropy in
            NamedContactsTests.victim(number + 60, &entropy)
        }
        #expect(others == 0)
    }

    @Test("that answer give their place back, prefixes are counted up to a bound, and a minute later all is forgotten")
    func places() {
        var named = NamedContacts()
        var now = DirectoryNetwork.noon
        let address = SocketAddress(v4: (203, 0, 113, 1), port: 1)
        for _ in 0..<100 {
            let isAdmitted = named.admit(address, now)
            #expect(isAdmitted)
            named.answered(address)
        }
        for number in 0..<20 {
            let isAdmitted = named.admit(address, now)
            #expect(isAdmitted == (number < NamedContacts.limit))
        }
        now = now.adding(milliseconds: NamedContacts.period)
        var admitted = 0
        for prefix in 0..<2000 {
            let address = SocketAddress(v4: (UInt8(1 + prefix / 256), UInt8(prefix % 256), 0, 1), port: 1)
            admitted += named.admit(address, now) ? 1 : 0
        }
        #expect(admitted == NamedContacts.prefixLimit + NamedContacts.limit)
    }
}
