import Foundation
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

@Suite struct RoutingTableTests {
    static let noon = DirectoryNetwork.noon

    static func contact(_ entropy: inout Entropy, prefix: Int? = nil) -> Contact {
        let first = prefix.map { (UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)) }
        let raw = entropy.array(4)
        return Contact(
            serverID: VerifyingKey(entropy.bytes()),
            endpoint: Endpoint(
                linkKey: X25519PublicKey(entropy.bytes()),
                address: SocketAddress(v4: (first?.0 ?? raw[0], first?.1 ?? raw[1], raw[2], raw[3]), port: 4000)))
    }

    static func residentBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .ascii)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    @Test("the closest contacts are those that sorting all of them gives, for near and far targets")
    func closest() {
        var entropy = Entropy(seed: 210)
        var table = RoutingTable(own: entropy.bytes())
        for _ in 0..<3000 {
            _ = table.insert(RoutingTableTests.contact(&entropy), now: RoutingTableTests.noon)
        }
        #expect(table.count > 100)
        var targets: [Bytes32] = (0..<100).map { _ in entropy.bytes() }
        for bucket in 0..<14 { targets.append(table.target(inBucket: bucket, &entropy)) }
        targets.append(table.own)
        for target in targets {
            let sorted = table.contacts.sorted { $0.nodeID.distance(to: target) < $1.nodeID.distance(to: target) }
            for limit in [1, 6, 20, 1000] {
                #expect(table.closest(to: target, limit) == Array(sorted.prefix(limit)))
            }
        }
    }

    @Test("one prefix and one cluster take four places of a bucket, and an answer names two of a prefix first")
    func diversity() {
        var entropy = Entropy(seed: 211)
        let own: NodeID = entropy.bytes()
        func far(_ entropy: inout Entropy, prefix: Int?) -> Contact {
            while true {
                let contact = RoutingTableTests.contact(&entropy, prefix: prefix)
                if contact.nodeID.distance(to: own).leadingZeros == 0 { return contact }
            }
        }
        var table = RoutingTable(own: own)
        for _ in 0..<20 { _ = table.insert(far(&entropy, prefix: 7), now: RoutingTableTests.noon) }
        #expect(table.count == 4)
        let cluster = VerifyingKey(entropy.bytes())
        for index in 0..<20 {
            _ = table.insert(far(&entropy, prefix: 100 + index), cluster: cluster, now: RoutingTableTests.noon)
        }
        #expect(table.count == 8)
        let target: Bytes32 = entropy.bytes()
        let named = table.answer(to: target, 6, since: RoutingTableTests.noon)
        #expect(named.count == 6)
        #expect(named.count { $0.endpoint.address.prefixKey == 1 << 32 | 7 } == 2)
        // There are not enough others for eight: then the limit gives way.
        #expect(table.answer(to: target, 8, since: RoutingTableTests.noon).count == 8)
    }

    @Test("a server of the map takes a stranger's place in a full bucket, and an answer names one stranger at most")
    func strangers() {
        var entropy = Entropy(seed: 213)
        let own: NodeID = entropy.bytes()
        var table = RoutingTable(own: own)
        func far(_ index: Int) -> Contact {
            while true {
                let contact = RoutingTableTests.contact(&entropy, prefix: index)
                if own.distance(to: contact.nodeID).leadingZeros == 0 { return contact }
            }
        }
        let now = RoutingTableTests.noon
        let crowd = (0..<RoutingTable.k).map { far($0) }
        for contact in crowd { _ = table.insert(contact, isListed: false, now: now) }
        let target = crowd[0].nodeID
        // Nobody else is known: strangers are named.
        #expect(table.answer(to: target, 6, since: now).count == 6)
        let members = (0..<10).map { far(100 + $0) }
        for (index, contact) in members.enumerated() {
            guard case .replaced(let stranger) = table.insert(contact, isListed: true, now: now) else {
                Issue.record("no stranger made room for the server \(index) of the map")
                continue
            }
            #expect(crowd.contains(stranger))
        }
        #expect(table.count == RoutingTable.k)
        let named = table.answer(to: target, 6, since: now)
        #expect(named.count == 6 && named.count { crowd.contains($0) } == 1)
        // Another stranger finds no place, and one that has come onto the map is none any more.
        guard case .full = table.insert(far(300), isListed: false, now: now) else {
            Issue.record("a stranger came into a full bucket")
            return
        }
        table.markListed { _ in true }
        #expect(table.answer(to: target, 6, since: now).contains(crowd[0]) == table.contacts.contains(crowd[0]))
        guard case .full = table.insert(far(301), isListed: true, now: now) else {
            Issue.record("a server of the map was pushed out by another")
            return
        }
    }

    @Test("contacts that were silent for long, or did not answer, are not named to others")
    func answersAreAlive() {
        var entropy = Entropy(seed: 212)
        var table = RoutingTable(own: entropy.bytes())
        let old = RoutingTableTests.contact(&entropy)
        let failing = RoutingTableTests.contact(&entropy)
        let alive = RoutingTableTests.contact(&entropy)
        let later = RoutingTableTests.noon.adding(seconds: 1000)
        _ = table.insert(old, now: RoutingTableTests.noon)
        _ = table.insert(failing, now: later)
        _ = table.insert(alive, now: later)
        #expect(table.failed(failing.nodeID) == nil)
        #expect(table.answer(to: entropy.bytes(), 6, since: later) == [alive])
        #expect(table.closest(to: entropy.bytes(), 6).count == 3)
        let dropped = table.failed(failing.nodeID)
        #expect(dropped?.removed == failing)
    }

    @Test("while nobody new is let in, nobody who waits takes the place of a contact that fails")
    func frozenPlaces() {
        var entropy = Entropy(seed: 214)
        let own: NodeID = entropy.bytes()
        var table = RoutingTable(own: own)
        var contacts: [Contact] = []
        for prefix in 0..<400 where contacts.count <= RoutingTable.k {
            let contact = RoutingTableTests.contact(&entropy, prefix: prefix)
            guard own.distance(to: contact.nodeID).leadingZeros == 0 else { continue }
            _ = table.insert(contact, now: RoutingTableTests.noon)
            contacts.append(contact)
        }
        guard contacts.count > RoutingTable.k else { return #expect(Bool(false), "\(contacts.count) contacts") }
        #expect(table.count == RoutingTable.k && table.contact(contacts[RoutingTable.k].nodeID) == nil)
        for (index, isFrozen, added) in [(0, true, nil), (1, false, contacts[RoutingTable.k])] {
            #expect(table.failed(contacts[index].nodeID, isFrozen: isFrozen) == nil)
            let change = table.failed(contacts[index].nodeID, isFrozen: isFrozen)
            #expect(change?.removed == contacts[index] && change?.added == added)
        }
        #expect(table.count == RoutingTable.k - 1)
    }

    @Test("the wait follows a peer's round trips, doubles after silence, and stays within its bounds")
    func roundTrips() {
        var peer = RoundTrip()
        #expect(peer.timeout == 1000)
        peer.measured(100)
        // RFC 6298: 100 + 4 · 50.
        #expect(peer.timeout == 300)
        for _ in 0..<50 { peer.measured(100) }
        #expect(peer.timeout == 200)
        peer.backOff()
        #expect(peer.timeout == 400)
        for _ in 0..<10 { peer.backOff() }
        #expect(peer.timeout == RoundTrip.longest - 800 || peer.timeout == 3200)
        peer.measured(.max)
        #expect(peer.timeout <= RoundTrip.longest)
        for _ in 0..<50 { peer.measured(0) }
        #expect(peer.timeout == RoundTrip.shortest)
    }

    @Test("a search for a record waits for a peer's usual round trip and twice its variation, within bounds")
    func patience() {
        var peer = RoundTrip()
        #expect(peer.patience == RoundTrip.mostPatience && peer.strangersPatience == RoundTrip.mostPatience)
        peer.measured(100)
        #expect(peer.patience == 200 && peer.strangersPatience == 150)
        // Silence does not make it wait longer.
        peer.backOff()
        #expect(peer.patience == 200)
        for _ in 0..<50 { peer.measured(1) }
        #expect(peer.patience == RoundTrip.leastPatience)
        for _ in 0..<50 { peer.measured(.max) }
        #expect(peer.patience == RoundTrip.mostPatience && peer.strangersPatience == RoundTrip.mostPatience)
    }

    @Test("a search for contacts makes four calls at a time; one for a record eight, and sixteen once one has failed")
    func width() {
        var entropy = Entropy(seed: 215)
        let start = (0..<Iteration.startLimit).map { _ in RoutingTableTests.contact(&entropy) }
        let goals: [(Iteration.Goal, first: Int, wide: Int)] = [
            (.nodes, 4, 8),
            (.value(key: VerifyingKey(entropy.bytes()), epoch: 1, place: 0, for: .request(token: 1)), 8, 16),
        ]
        for (goal, first, wide) in goals {
            var iteration = Iteration(
                target: entropy.bytes(), goal: goal, start: start, own: entropy.bytes(), now: RoutingTableTests.noon)
            let calls = iteration.next()
            #expect(calls.count == first)
            iteration.failed(calls[0].nodeID)
            let more = iteration.next()
            #expect(more.count == wide - first + 1)
            // Who is late is not waited for: somebody else is asked, and never more than so many in all.
            var all = calls.count + more.count
            var open = more
            while let node = open.popLast() {
                let isAwaited = iteration.late(node.nodeID)
                #expect(isAwaited)
                let next = iteration.next()
                all += next.count
                open += next
            }
            #expect(all <= Iteration.callLimit && all > wide)
            #expect(iteration.calls == all)
        }
    }

    @Test("a late answer lets a search ask others before the driver gives up, and still counts")
    func late() throws {
        var network = try DirectoryNetwork.joined(seed: 213, 30)
        let asker = network.members[3]
        var core = asker.core
        var store = asker.store
        let effects = try core.handle(
            .request(
                from: nil, token: 1,
                message: DirectoryMessage.iterate(key: VerifyingKey(network.entropy.bytes()), epoch: 1).encode()),
            now: network.now, entropy: &network.entropy, store: &store)
        let calls = effects.compactMap { effect -> UInt64? in
            guard case .call(let id, _, _) = effect else { return nil }
            return id
        }
        #expect(calls.count == Iteration.recordCalls)
        let deadline = try #require(calls.compactMap { core.deadline(for: $0) }.max())
        #expect(deadline > network.now && deadline <= network.now.adding(milliseconds: RoundTrip.first))
        #expect(core.nextWake ?? deadline <= deadline)
        let more = try core.handle(.wake, now: deadline, entropy: &network.entropy, store: &store)
        let again = more.count { if case .call = $0 { true } else { false } }
        #expect(again >= Iteration.recordCalls)
        #expect(core.counters.lateAnswers >= UInt64(Iteration.recordCalls))
        let forged = core.counters.forgedAnswers
        for call in calls {
            _ = try core.handle(
                .answer(call: call, message: DirectoryMessage.nodes(descriptor: asker.descriptor, []).encode()),
                now: deadline, entropy: &network.entropy, store: &store)
        }
        #expect(core.counters.forgedAnswers == forged + UInt64(calls.count))
        #expect(core.deadline(for: calls[0]) == nil)
    }

    @Test("a server that names itself and forged contacts is counted, asked once, and does not end the search")
    func selfAnswers() {
        var entropy = Entropy(seed: 214)
        let honest = (0..<15).map { _ in RoutingTableTests.contact(&entropy) }
        let liar = RoutingTableTests.contact(&entropy)
        let target = liar.nodeID
        var iteration = Iteration(
            target: target, goal: .nodes, start: [liar] + honest, own: entropy.bytes(), now: RoutingTableTests.noon)
        var forged: Set<NodeID> = []
        var asked: [NodeID: Int] = [:]
        while true {
            let calls = iteration.next()
            guard !calls.isEmpty else { break }
            for call in calls {
                asked[call.nodeID, default: 0] += 1
                if call.nodeID == liar.nodeID {
                    let near = (0..<4).map { _ in RoutingTableTests.contact(&entropy) }
                    forged.formUnion(near.map(\.nodeID))
                    let twin = Contact(serverID: VerifyingKey(entropy.bytes()), endpoint: liar.endpoint)
                    iteration.answered(call.nodeID, near + [liar, twin])
                } else if forged.contains(call.nodeID) {
                    iteration.failed(call.nodeID)
                } else {
                    iteration.answered(call.nodeID, [])
                }
            }
        }
        #expect(iteration.refusedContacts == 1)
        #expect(iteration.selfNamed == 1)
        #expect(iteration.misleading == 1)
        #expect(asked.values.allSatisfy { $0 == 1 })
        #expect(honest.allSatisfy { asked[$0.nodeID] == 1 })
        #expect(iteration.closest(16).count == 16)
        #expect(Set(iteration.closest(16).map(\.nodeID)).isDisjoint(with: forged))
    }

    @Test("an idle server with 160 contacts and more takes less than 200 kB, so that 100,000 fit in 20 GB")
    func memory() throws {
        var entropy = Entropy(seed: 215)
        let server = VerifyingKey(entropy.bytes())
        var full = RoutingTable(own: Node.id(of: server))
        for _ in 0..<60_000 { _ = full.insert(RoutingTableTests.contact(&entropy), now: RoutingTableTests.noon) }
        let contacts = full.contacts
        #expect(contacts.count >= 160)
        let store = MemoryStore()
        var cores: [DirectoryCore] = []
        let count = 500
        cores.reserveCapacity(count)
        let before = RoutingTableTests.residentBytes()
        for _ in 0..<count {
            var core = try DirectoryCore(serverID: server, descriptor: [], now: RoutingTableTests.noon, store: store)
            for contact in contacts { _ = core.table.insert(contact, now: RoutingTableTests.noon) }
            cores.append(core)
        }
        let used = RoutingTableTests.residentBytes() - before
        let each = used / count + MemoryLayout<DirectoryCore>.size
        print(
            "\(contacts.count) contacts: \(each) bytes per core, \(MemoryLayout<RoutingTable.Entry>.stride) per entry")
        #expect(each < 200_000)
        #expect(cores.allSatisfy { $0.contactCount == contacts.count })
    }
}
