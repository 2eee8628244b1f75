import Primitives
import Records
import Testing
import Wire

@testable import Directory

/// The three places at which searches without a map look for a record (specs/directory.md, "Kademlia").
@Suite("Places for searches")
struct SearchPlacesTests {
    /// Of a search that server 0 makes for an agent everything that it asks server 1, the only one that it knows.
    private struct Search {
        var asked: [DirectoryMessage] = []
        var answer: DirectoryMessage?
    }

    /// - Parameter answer: what the other says, and how the time goes on meanwhile; `nil` for silence.
    private func search(
        _ network: inout DirectoryNetwork, for key: VerifyingKey,
        answer: (DirectoryMessage, inout Timestamp) -> DirectoryMessage?
    ) throws -> Search {
        var search = Search()
        let request = DirectoryMessage.iterate(key: key, epoch: network.now.epoch)
        var effects = try network.effects(of: .request(from: nil, token: 7, message: request.encode()), at: 0)
        while let effect = effects.popLast() {
            switch effect {
            case .answer(7, let message): search.answer = try DirectoryMessage(decoding: message)
            case .call(let call, network.members[1].endpoint, let message):
                let message = try DirectoryMessage(decoding: message)
                search.asked.append(message)
                guard let answer = answer(message, &network.now) else {
                    effects += try network.effects(of: .failed(call: call), at: 0)
                    continue
                }
                effects += try network.effects(of: .answer(call: call, message: answer.encode()), at: 0)
            default: break
            }
        }
        return search
    }

    @Test("a record is looked for at its second place when it is not at the first, then at the third, and no further")
    func order() throws {
        var network = try DirectoryNetwork.joined(seed: 701, 2)
        try network.handle(0, .map([]))
        let record = try Publisher(&network.entropy).record(network.now, entropy: &network.entropy)
        let (key, epoch) = (record.blindedKey, record.epoch)
        let nothing = DirectoryMessage.nodes(descriptor: network.members[1].descriptor, [])
        let questions = (0..<3).map { DirectoryMessage.findValue(key: key, epoch: epoch, place: $0) }

        let vain = try search(&network, for: key) { _, _ in nothing }
        #expect(vain.asked == questions && vain.answer == .missing)
        for place in 0..<3 {
            let search = try search(&network, for: key) { question, _ in
                question == questions[place] ? .record(record.encode()) : nothing
            }
            #expect(search.asked == Array(questions[...place]))
            #expect(search.answer == .record(record.encode()))
        }
        // A server of an earlier version knows the first place only.
        let early = try search(&network, for: key) { question, _ in
            question == questions[0] ? nothing : .refused(.unsupported)
        }
        #expect(early.asked == questions && early.answer == .missing)
        #expect(network.members[0].core.iterations.isEmpty)
    }

    @Test("where all servers of the map were asked at one place nobody is asked again at the next")
    func small() throws {
        var network = try DirectoryNetwork.joined(seed: 705, 2)
        let key = VerifyingKey(network.entropy.bytes())
        let nothing = DirectoryMessage.nodes(descriptor: network.members[1].descriptor, [])
        let vain = try search(&network, for: key) { _, _ in nothing }
        #expect(vain.asked == [.findValue(key: key, epoch: network.now.epoch, place: 0)] && vain.answer == .missing)
        // Of a server that was not asked nobody knows what it has.
        _ = try network.add()
        try network.handle(0, .map(network.nodes))
        let further = try search(&network, for: key) { _, _ in nothing }
        #expect(further.asked.count == 3 && further.answer == .missing)
    }

    @Test("all three places share one time limit, of five seconds from the beginning")
    func deadline() throws {
        var network = try DirectoryNetwork.joined(seed: 702, 2)
        try network.handle(0, .map([]))
        let key = VerifyingKey(network.entropy.bytes())
        let nothing = DirectoryMessage.nodes(descriptor: network.members[1].descriptor, [])
        let start = network.now
        let late = try search(&network, for: key) { question, now in
            guard case .findValue(_, _, let place) = question else { return nil }
            now = start.adding(milliseconds: 2499 * (UInt64(place) + 1))
            return nothing
        }
        #expect(late.asked.count == 3 && late.answer == .missing)
        network.now = network.now.adding(milliseconds: 10_000)
        let again = network.now
        let later = try search(&network, for: key) { _, now in
            now = again.adding(milliseconds: Iteration.deadline)
            return nothing
        }
        #expect(later.asked.count == 1 && later.answer == .missing)
    }

    @Test("each place is another one, and copies come to the eight servers nearest to each")
    func copies() throws {
        var network = try DirectoryNetwork.joined(seed: 703, 80)
        try network.map()
        let record = try Publisher(&network.entropy).record(network.now, entropy: &network.entropy)
        let holders = network.holders(record.blindedKey, epoch: record.epoch)
        for holder in holders { _ = try network.ask(holder, .put(record: record.encode())) }
        try network.run(milliseconds: 5000)
        var nodes = Set<Bytes32>()
        for place: UInt8 in 0..<3 {
            let target = DirectoryCore.kademliaTarget(of: record.blindedKey, epoch: record.epoch, place: place)
            #expect(nodes.insert(target).inserted)
            let near = network.members.indices.sorted {
                network.members[$0].core.own.distance(to: target) < network.members[$1].core.own.distance(to: target)
            }
            // Of one prefix and cluster one each among sixteen, so hardly ever the eight nearest themselves.
            let held = try near.prefix(16).filter { try network.holds($0, record.blindedKey) }
            #expect(held.count >= 8, "place \(place): \(held.count)")
        }
    }

    @Test("places are named by requests of their own, 1 and 2, which no other number fits")
    func messages() throws {
        var entropy = Entropy(seed: 704)
        let key = VerifyingKey(entropy.bytes())
        for place: UInt8 in 0..<3 {
            let message = DirectoryMessage.findValue(key: key, epoch: 9, place: place)
            #expect(try DirectoryMessage(decoding: message.encode()) == message)
            #expect(message.encode().first == (place == 0 ? 4 : 11))
        }
        var bytes = DirectoryMessage.findValue(key: key, epoch: 9, place: 2).encode()
        for place: UInt8 in [0, 3, 255] {
            bytes[1] = place
            #expect(throws: WireError.outOfRange(field: "place")) { try DirectoryMessage(decoding: bytes) }
        }
    }
}
