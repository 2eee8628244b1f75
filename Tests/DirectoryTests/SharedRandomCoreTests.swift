import Primitives
import Storage
import Testing
import Wire

@testable import Directory

@Suite struct SharedRandomCoreTests {
    @Test("an old network agrees on a new value each day, hours before it counts, and spreads little for it")
    func agreement() throws {
        let network = try SharedNetwork(7, seed: 410)
        var seen: Set<SharedValue?> = []
        for day in 1...3 {
            try network.run(toHour: Double(day - 1) * 24 + 19.9)
            #expect(network.isAgreed(UInt64(day)))
            seen.formUnion(network.values(UInt64(day)))
        }
        #expect(seen.count == 3)
        #expect(network.failures == 0)
        #expect(network.members.allSatisfy { $0.core.counters.agreed == 3 })
        // Each message crosses each link at most twice; each hour has three questions each way.
        #expect(network.frames <= 3 * (7 * 3 * 2 * 21 + 18 * 3 * 2 * 21))
    }

    @Test("a young network and a small one go on with the stand-in and raise no alarm; the first agreement follows")
    func young() throws {
        let network = try SharedNetwork(6, seed: 411, age: 0)
        for day in 1...7 {
            try network.run(toHour: Double(day - 1) * 24 + 20)
            #expect(network.values(UInt64(day)) == [.standIn])
        }
        // Noted first on day 1, and so on the map for seven epochs on day 8.
        try network.run(toHour: 7 * 24 + 20)
        #expect(network.isAgreed(8))
        #expect(network.values(7) == [.standIn])
        #expect(network.failures == 0)
        let small = try SharedNetwork(3, seed: 412)
        try small.run(toHour: 68)
        #expect(small.values(3) == [.standIn] && small.failures == 0)
        #expect(small.members.allSatisfy { $0.reports.isEmpty })
    }

    @Test("a participant may crash and start again in any phase, and neither contradicts itself nor hinders the others")
    func restarts() throws {
        for (number, hour) in [0.4, 1.5, 6.2, 6.4, 9.99, 10.01, 13.9, 17.5, 17.7, 19.2].enumerated() {
            let network = try SharedNetwork(5, seed: 420 + UInt64(number))
            try network.run(toHour: hour)
            try network.stop(2)
            try network.run(toHour: hour + 0.2)
            try network.start(2)
            try network.run(toHour: 20)
            #expect(network.isAgreed(1), "crash at hour \(hour)")
            #expect(network.members.allSatisfy { $0.core.counters.equivocations == 0 })
            try network.run(toHour: 44)
            #expect(network.isAgreed(2), "crash at hour \(hour), a day later")
        }
    }

    @Test("a participant that stays away after any phase is left out, and learns the value when it is back")
    func absence() throws {
        for (number, hour) in [5.0, 12, 17].enumerated() {
            let network = try SharedNetwork(7, seed: 430 + UInt64(number))
            try network.run(toHour: hour)
            try network.stop(3)
            try network.run(toHour: 25)
            #expect(network.isAgreed(1))
            try network.start(3)
            try network.run(toHour: 26)
            #expect(network.isAgreed(1), "away from hour \(hour)")
        }
    }

    @Test("more than a third that withhold end in the value that follows from the last, with an alarm that names them")
    func withholding() throws {
        let network = try SharedNetwork(7, seed: 440)
        try network.run(toHour: 20)
        let before = network.values(1).first??.bytes
        for index in 4..<7 { network.members[index].withholds = [2] }
        try network.run(toHour: 44)
        let expected = SharedRandom.fallback(previous: try #require(before), epoch: 20_002)
        #expect(network.values(2) == [.value(expected)])
        let names = (4..<7).map { network.members[$0].cluster.id }.sorted()
        for index in 0..<4 {
            #expect(network.members[index].reports.last == .failed(epoch: 20_002, .withheld(names)))
        }
        // One that withholds changes the value and does not prevent it.
        network.members[4].withholds = []
        network.members[5].withholds = []
        try network.run(toHour: 68)
        #expect(network.isAgreed(3))
        #expect(network.members[0].core.counters.withheld == 4)
    }

    @Test("who commits and withholds is counted, and has no part for a week; of few participants nobody is sent away")
    func dismissal() throws {
        let network = try SharedNetwork(10, seed: 445)
        let member = network.members[9]
        let name = SharedRandom.name(of: member.cluster.id)
        network.members[9].withholds = [2]
        try network.run(toHour: 20)
        #expect(network.values(1, of: Array(0..<9)).count == 1 && network.failures == 0)
        for index in 0..<9 {
            #expect(network.members[index].core.counters.withheld == 1)
            #expect(network.members[index].core.withholders == [member.cluster.id])
            #expect(network.members[index].reports.contains(.withheld(epoch: 20_001, [member.cluster.id])))
        }
        network.members[9].withholds = []
        for day in 1...9 {
            try network.run(toHour: Double(day) * 24 + 20)
            #expect(network.isAgreed(UInt64(day + 1)))
            // Noted anew on day 1, and so for seven epochs when the value of day 8 is made.
            let takesPart = network.members[0].core.round?.participants.contains(name)
            #expect(takesPart == (day + 1 >= 8), "day \(day)")
        }
        let few = try SharedNetwork(8, seed: 446)
        few.members[7].withholds = [2]
        try few.run(toHour: 44)
        #expect(few.members[0].core.round?.participants.count == 8)
    }

    @Test("who signs two votes keeps its secret in the value: nobody can part the others by that")
    func twoVotes() throws {
        let network = try SharedNetwork(7, seed: 447)
        try network.run(toHour: 17.5)
        let liar = network.members[6].cluster
        network.members[6].withholds = [3]
        for (byte, index) in [(UInt8(1), 0), (2, 3)] {
            let vote = liar.vote(BLAKE2b.h(Domain("test"), [byte]))
            try network.handle(index, .message(link: 6, [16] + vote.encode()))
        }
        try network.run(toHour: 20)
        #expect(network.isAgreed(1) && network.failures == 0)
        let round = try #require(network.members[0].core.round)
        #expect(round.evidence[liar.id]?.count == 2 && round.shown[liar.id] != nil)
        #expect(round.absent(from: try #require(network.values(1).first??.bytes)).isEmpty)
    }

    @Test("who signs two commitments is left out, and both are kept on disk where the next run finds them")
    func equivocation() throws {
        let network = try SharedNetwork(6, seed: 450)
        try network.run(toHour: 2)
        let liar = network.members[5].cluster
        let frame: (UInt8) -> [UInt8] = { byte in
            [16] + liar.commit(BLAKE2b.h(Domain("test"), [byte])).encode()
        }
        try network.handle(0, .message(link: 5, frame(1)))
        try network.handle(3, .message(link: 5, frame(2)))
        try network.run(toHour: 3)
        try network.stop(1)
        try network.start(1)
        try network.run(toHour: 20)
        #expect(network.isAgreed(1))
        for index in 0..<5 {
            let kept = try DirectoryCore.evidence(network.members[index].store)
            #expect(kept.map(\.clusterID) == [liar.id] && kept.map(\.kind) == [.commitments])
            for evidence in kept { try SharedRandomEvidence(decoding: evidence.encode()).verify() }
            #expect(network.members[index].core.round?.evidence[liar.id]?.count == 2)
            #expect(network.members[index].reports.contains(.withheld(epoch: 20_001, [liar.id])))
        }
    }

    @Test("what one hears in the last moment counts for all, though those who signed it start again from their stores")
    func lastMoment() throws {
        let network = try SharedNetwork(7, seed: 455)
        network.members[6].withholds = [1, 2]
        let liar = network.members[6].cluster
        let secret = BLAKE2b.h(Domain("test"), [7])
        let commitment = SharedRandom.commitment(secret, of: liar.id, epoch: 20_001)
        // The round begins with the list; before it commits itself its server stops, and the test speaks for it.
        try network.run(toHour: 0.2)
        try network.stop(6)
        let reveal = SharedRandom.Message.reveal(participant: liar.id, epoch: 20_001, secret: secret)
        for (message, second) in [
            (liar.commit(commitment), SharedRandom.commitTime), (reveal, SharedRandom.revealTime),
        ] {
            try network.run(toHour: Double(second) / 3600)
            try network.handle(0, .linkUp(6))
            try network.handle(0, .message(link: 6, [16] + message.encode()))
            try network.run(toHour: Double(second) / 3600 + 0.05)
            for index in 0..<3 {
                try network.stop(index)
                try network.run(toHour: Double(second) / 3600 + 0.1 + 0.05 * Double(index))
                try network.start(index)
            }
        }
        try network.run(toHour: 20)
        #expect(network.isAgreed(1) && network.failures == 0)
        for index in 0..<6 {
            let round = try #require(network.members[index].core.round)
            #expect(round.shown[liar.id] == secret && round.shown.count == 7)
            #expect(round.held(.reveal, of: liar.id).allSatisfy { $0.version.signatures > 1 })
        }
    }

    @Test("who comes late learns from a sample of clusters, though two of seven lie, and takes part after a week")
    func lateJoiner() throws {
        let network = try SharedNetwork(7, seed: 460)
        try network.run(toHour: 36)
        let late = try network.add(age: 0)
        for index in network.members.indices { try network.handle(index, .map(network.nodes)) }
        // Two of the seven say something else to everybody.
        for index in 0..<2 { network.members[index].core.values[20_001] = .value(Bytes32()) }
        try network.start(late)
        try network.run(toHour: 37)
        #expect(network.values(1, of: [late]) == network.values(1, of: [5]))
        try network.run(toHour: 68)
        #expect(network.values(3, of: [late]) == network.values(3, of: [5]))
        #expect(network.members[late].core.round?.participants.count == 7)
        try network.run(toHour: 10 * 24 + 20)
        #expect(network.members[late].core.round?.participants.count == 8)
        #expect(network.isAgreed(11) && network.failures == 0)
    }

    @Test("a whole network that was down for days goes on from its last value alike everywhere")
    func outage() throws {
        let network = try SharedNetwork(5, seed: 470)
        try network.run(toHour: 20)
        let before = try #require(network.values(1).first??.bytes)
        for index in network.members.indices { try network.stop(index) }
        try network.run(toHour: 74)
        for index in network.members.indices { try network.start(index) }
        try network.run(toHour: 75)
        var expected = before
        for epoch in UInt64(20_002)...20_003 { expected = SharedRandom.fallback(previous: expected, epoch: epoch) }
        #expect(network.values(3) == [.value(expected)])
    }

    @Test("frames of strangers, of wrong length and too many of them are counted and change nothing")
    func hostile() throws {
        let network = try SharedNetwork(5, seed: 480)
        try network.run(toHour: 2)
        let stranger = RandomCircle.Cluster(&network.entropy)
        for number in 0..<800 {
            let commit = stranger.commit(BLAKE2b.h(Domain("test"), [UInt8(number % 256)]))
            try network.handle(0, .message(link: 4, [16] + commit.encode()))
        }
        for number in 0..<100 {
            try network.handle(0, .message(link: 4, [17] + network.entropy.array(number % 40)))
        }
        try network.handle(0, .message(link: 99, [16]))
        let counters = network.members[0].core.counters
        #expect(counters.refused > 500 && counters.flooded > 80)
        try network.run(toHour: 20)
        #expect(network.isAgreed(1))
    }
}
