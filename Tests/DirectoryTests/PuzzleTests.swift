import Fuzz
import Primitives
import Records
import Testing
import Wire

@testable import Directory

private enum PuzzleError: Error {
    case notChallenged
}

@Suite("Puzzles for puts")
struct PuzzleTests {
    private func solved(
        _ record: DirectoryRecord, _ server: borrowing LoneServer, level: Int, challenge: Bytes16?
    ) throws -> DirectoryMessage {
        let puzzle = PutPuzzle(record, holder: server.core.own, challenge: challenge)
        var solver = try #require(PuzzleSolver(puzzle, level: level))
        while !solver.isOver { solver.step() }
        return try #require(solver.effort).put(record.encode())
    }

    /// What a server demands of a publisher that knows challenges.
    private func challenge(_ record: DirectoryRecord, _ server: inout LoneServer) throws -> (level: Int, Bytes16) {
        guard case .challenge(let level, let challenge) = try server.ask(.challengedPut(record: record.encode(), nil))
        else { throw PuzzleError.notChallenged }
        return (level, challenge)
    }

    /// A server that demands a puzzle for each put.
    private func strict(seed: UInt64) throws -> LoneServer {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 1
        return try LoneServer(seed: seed, configuration)
    }

    @Test("cost nothing while few come, and rise with each doubling up to their limit; a pause brings them down")
    func load() throws {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 4
        var server = try LoneServer(seed: 401, configuration)
        for _ in 0..<3 {
            #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1))
        }
        var levels: [Int] = []
        for _ in 0..<29 {
            guard case .puzzle(let level) = try server.ask(.put(record: server.record().encode())) else {
                Issue.record("a put was looked at without a puzzle")
                continue
            }
            levels.append(level)
        }
        #expect(levels == [8, 8, 8, 8] + Array(repeating: 9, count: 8) + Array(repeating: 10, count: 16) + [11])
        #expect(try DirectoryCore.recordCount(server.store) == 3)
        #expect(server.core.counters.puzzlesDemanded == 29)
        server.now = server.now.adding(milliseconds: 10_000)
        #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1))
    }

    @Test("are solved for one record, one sequence and one holder; what was demanded suffices when more is by then")
    func binding() throws {
        var server = try strict(seed: 402)
        let record = try server.record()
        let (level, challenge) = try challenge(record, &server)
        #expect(level == 8)
        let good = try solved(record, server, level: 8, challenge: challenge)
        // Others come meanwhile.
        for _ in 0..<40 { _ = try server.ask(.put(record: server.record().encode())) }
        guard case .challengedPut(_, let proof?) = good else { return }
        var other = try server.record()
        var puzzle = PutPuzzle(other, holder: server.core.own, challenge: challenge)
        while puzzle.strength(of: proof.solution) >= 8 {
            other = try server.record()
            puzzle = PutPuzzle(other, holder: server.core.own, challenge: challenge)
        }
        let stolen = try server.ask(.challengedPut(record: other.encode(), proof))
        #expect(stolen.map { if case .challenge = $0 { true } else { false } } == true)
        let abroad = PutPuzzle(record, holder: Bytes32(), challenge: challenge)
        var elsewhere = try #require(PuzzleSolver(abroad, level: 8))
        while !elsewhere.isOver { elsewhere.step() }
        var here = PutPuzzle(record, holder: server.core.own, challenge: challenge)
        if let foreign = elsewhere.solution, here.strength(of: foreign) < 8 {
            let proof = PuzzleProof(challenge: challenge, solution: foreign)
            #expect(try server.ask(.challengedPut(record: record.encode(), proof)) != .stored(sequence: 1))
        }
        #expect(try server.ask(good) == .stored(sequence: 1))
        #expect(server.core.counters.puzzlesAccepted == 1 && server.core.counters.puzzlesOutdated == 0)
        // What is held already needs no work.
        #expect(try server.ask(.put(record: record.encode())) == .stored(sequence: 1))
    }

    @Test("count over the challenge of this period and of the last; one that was solved ahead is refused and counted")
    func periods() throws {
        var server = try strict(seed: 407)
        let records = try (0..<3).map { _ in try server.record() }
        let (_, first) = try challenge(records[0], &server)
        let early = try records.map { try solved($0, server, level: 16, challenge: first) }
        #expect(try server.ask(early[0]) == .stored(sequence: 1))
        server.now = server.now.adding(milliseconds: PuzzleChallenges.period)
        #expect(try challenge(records[1], &server).1 != first)
        #expect(try server.ask(early[1]) == .stored(sequence: 1))
        #expect(server.core.counters.puzzlesOutdated == 0)
        server.now = server.now.adding(milliseconds: PuzzleChallenges.period)
        guard case .challenge(let level, let third) = try server.ask(early[2]) else {
            Issue.record("a solution over an old challenge was looked at")
            return
        }
        #expect(server.core.counters.puzzlesOutdated == 1)
        #expect(try server.ask(solved(records[2], server, level: level, challenge: third)) == .stored(sequence: 1))
        #expect(server.core.counters.puzzlesOutdated == 1 && server.core.counters.puzzlesAccepted == 3)
        // Without a puzzle in between nothing that was handed out before counts.
        let late = try server.record()
        let solution = try solved(late, server, level: 16, challenge: third)
        server.now = server.now.adding(milliseconds: 3 * PuzzleChallenges.period)
        _ = try challenge(server.record(), &server)
        #expect(try server.ask(solution) != .stored(sequence: 1))
        #expect(server.core.counters.puzzlesOutdated == 2)
    }

    @Test("solved over a challenge that was made up are refused and counted")
    func invented() throws {
        var server = try strict(seed: 408)
        let record = try server.record()
        let ahead = try solved(record, server, level: 16, challenge: server.entropy.bytes())
        let answer = try server.ask(ahead)
        #expect(answer.map { if case .challenge = $0 { true } else { false } } == true)
        #expect(server.core.counters.puzzlesOutdated == 1)
    }

    @Test("of a holder that was restarted, or whose clock went back, cost a publisher one more and no second one")
    func restart() throws {
        var server = try strict(seed: 409)
        let records = try (0..<2).map { _ in try server.record() }
        let (_, challenge) = try challenge(records[0], &server)
        let early = try records.map { try solved($0, server, level: 16, challenge: challenge) }
        server.core = try DirectoryCore(
            serverID: server.key.publicKey, descriptor: [], configuration: server.core.configuration, now: server.now,
            store: server.store)
        func again(_ index: Int, _ server: inout LoneServer) throws {
            guard case .challenge(let level, let fresh) = try server.ask(early[index]) else {
                Issue.record("a solution over a challenge that was forgotten was looked at")
                return
            }
            let answer = try server.ask(solved(records[index], server, level: level, challenge: fresh))
            #expect(answer == .stored(sequence: 1))
        }
        try again(0, &server)
        server.now = server.now.earlier(by: 1_800_000)
        try again(1, &server)
    }

    @Test("of all publishers have one challenge, so that none is remembered; its answer is smaller than any request")
    func stateless() throws {
        var server = try strict(seed: 410)
        var challenges: Set<Bytes16> = []
        for _ in 0..<100 {
            let request = DirectoryMessage.challengedPut(record: try server.record().encode(), nil)
            let answer = try #require(try server.ask(request))
            guard case .challenge(_, let challenge) = answer else {
                Issue.record("a put was looked at without a puzzle")
                return
            }
            challenges.insert(challenge)
            #expect(answer.encode().count == 18 && request.encode().count > 600)
        }
        #expect(challenges.count == 1)
        // A second server has another one.
        var other = try strict(seed: 411)
        #expect(try !challenges.contains(challenge(other.record(), &other).1))
    }

    @Test("without a challenge count for a few puts a second, and keep no publisher waiting who knows challenges")
    func unchallenged() throws {
        var server = try strict(seed: 412)
        server.core.configuration.unchallengedRate = 3
        for index in 0..<5 {
            let record = try server.record()
            guard case .puzzle = try server.ask(.put(record: record.encode())) else {
                Issue.record("a publisher that knows no challenges is not asked in its own way")
                return
            }
            let answer = try server.ask(solved(record, server, level: 16, challenge: nil))
            #expect(answer == (index < 3 ? .stored(sequence: 1) : .refused(.busy)))
        }
        #expect(server.core.counters.puzzlesUnchallenged == 3 && server.core.counters.overRate == 2)
        let record = try server.record()
        let (_, challenge) = try challenge(record, &server)
        #expect(try server.ask(solved(record, server, level: 16, challenge: challenge)) == .stored(sequence: 1))
        server.now = server.now.adding(milliseconds: 1000)
        let later = try server.record()
        #expect(try server.ask(solved(later, server, level: 16, challenge: nil)) == .stored(sequence: 1))
        #expect(server.core.counters.puzzlesUnchallenged == 4 && server.core.counters.puzzlesAccepted == 5)
    }

    @Test("are not demanded by a server that answers no solved put, since its federation is upgraded")
    func pinned() throws {
        var server = try strict(seed: 413)
        server.core.configuration.highestRequest = DirectoryMessage.firstVersion
        for _ in 0..<20 {
            #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1))
        }
        #expect(server.core.counters.puzzlesDemanded == 0)
    }

    @Test("a solved puzzle buys a look at the record and nothing more")
    func signature() throws {
        var server = try strict(seed: 403)
        var bytes = try server.record().encode()
        bytes[bytes.count - 1] ^= 1
        let forged = try DirectoryRecord(decoding: bytes)
        let (_, challenge) = try challenge(forged, &server)
        let answer = try server.ask(solved(forged, server, level: 16, challenge: challenge))
        #expect(answer == .refused(.wrongSignature))
    }

    @Test("a store that is half full demands work of what needs room, and of nothing else")
    func fullness() throws {
        var configuration = DirectoryConfiguration()
        configuration.recordLimit = 8
        var server = try LoneServer(seed: 404, configuration)
        let publisher = Publisher(&server.entropy)
        func renewed(_ sequence: UInt64, _ server: inout LoneServer) throws -> DirectoryRecord {
            try publisher.record(server.now, sequence: sequence, entropy: &server.entropy)
        }
        #expect(try server.ask(.put(record: renewed(1, &server).encode())) == .stored(sequence: 1))
        for _ in 0..<3 { #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1)) }
        for level in [8, 10, 12, 14] {
            let record = try server.record()
            #expect(try server.ask(.put(record: record.encode())) == .puzzle(level: level))
            let (demanded, challenge) = try challenge(record, &server)
            #expect(demanded == level)
            let answer = try server.ask(solved(record, server, level: level, challenge: challenge))
            #expect(answer == .stored(sequence: 1))
            #expect(
                try server.ask(.put(record: renewed(UInt64(level), &server).encode()))
                    == .stored(sequence: UInt64(level)))
        }
        let record = try server.record()
        let (_, challenge) = try challenge(record, &server)
        #expect(try server.ask(solved(record, server, level: 16, challenge: challenge)) == .refused(.full))
    }

    @Test("servers of the map are not asked for any; who is not on it is, whatever its address")
    func servers() throws {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 1
        var server = try LoneServer(seed: 405, configuration)
        let link = X25519PublicKey(server.entropy.bytes())
        let listed = Endpoint(linkKey: link, address: SocketAddress(v4: (10, 1, 1, 1), port: 1))
        let node = Placement.Node(
            id: server.entropy.bytes(), cluster: VerifyingKey(server.entropy.bytes()),
            prefix: listed.address.prefix, endpoint: listed)
        let own = Placement.Node(id: server.core.own, cluster: VerifyingKey(Bytes32()), prefix: [10, 2])
        _ = try server.core.handle(
            .map([node, own]), now: server.now, entropy: &server.entropy, store: &server.store)
        for _ in 0..<10 {
            #expect(try server.ask(.put(record: server.record().encode()), from: listed) == .stored(sequence: 1))
        }
        let stranger = Endpoint(linkKey: X25519PublicKey(server.entropy.bytes()), address: listed.address)
        #expect(try server.ask(.put(record: server.record().encode()), from: stranger) == .puzzle(level: 8))
    }

    @Test("demands beyond the limit are not begun, and messages are read as what they encode to, or refused")
    func bounds() throws {
        var server = try LoneServer(seed: 406)
        let record = try server.record()
        #expect(PuzzleSolver(PutPuzzle(record, holder: server.core.own, challenge: nil), level: 17) == nil)
        for level in [0, 7, 17, 255] as [UInt8] {
            #expect(throws: WireError.outOfRange(field: "level")) { try DirectoryMessage(decoding: [71, level]) }
            #expect(throws: WireError.outOfRange(field: "level")) {
                try DirectoryMessage(decoding: [73, level] + Bytes16().bytes)
            }
        }
        // Who has no challenge has no solution either.
        let unfounded = PuzzleProof(challenge: Bytes16(), solution: 7)
        #expect(throws: WireError.outOfRange(field: "solution")) {
            try DirectoryMessage(decoding: DirectoryMessage.challengedPut(record: [1], unfounded).encode())
        }
        var garbage = Garbage("puzzle messages", seed: 406)
        let encoded: [[UInt8]] = [
            DirectoryMessage.solvedPut(record: record.encode(), solution: 7).encode(),
            DirectoryMessage.puzzle(level: 9).encode(),
            DirectoryMessage.challengedPut(record: record.encode(), nil).encode(),
            DirectoryMessage.challengedPut(
                record: record.encode(), PuzzleProof(challenge: server.entropy.bytes(), solution: 7)
            ).encode(),
            DirectoryMessage.challenge(level: 9, server.entropy.bytes()).encode(),
        ]
        for bytes in encoded {
            for count in bytes.indices {
                #expect(throws: WireError.self) { try DirectoryMessage(decoding: Array(bytes[..<count])) }
            }
        }
        var accepted = 0
        for _ in 0..<10_000 {
            let bytes = garbage.bytes(like: encoded)
            guard let read = try? DirectoryMessage(decoding: bytes) else { continue }
            accepted += 1
            #expect(try DirectoryMessage(decoding: read.encode()) == read)
            _ = try server.core.handle(
                .request(from: nil, token: 1, message: bytes), now: server.now, entropy: &server.entropy,
                store: &server.store)
        }
        #expect(accepted > 0)
    }
}
