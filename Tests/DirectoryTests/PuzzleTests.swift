import Fuzz
import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite("Puzzles for puts")
struct PuzzleTests {
    private func solved(_ record: DirectoryRecord, _ server: borrowing LoneServer, level: Int) throws
        -> DirectoryMessage
    {
        var solver = try #require(PuzzleSolver(PutPuzzle(record, holder: server.core.own), level: level))
        while !solver.isOver { solver.step() }
        return .solvedPut(record: record.encode(), solution: try #require(solver.solution))
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
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 1
        var server = try LoneServer(seed: 402, configuration)
        let record = try server.record()
        #expect(try server.ask(.put(record: record.encode())) == .puzzle(level: 8))
        let good = try solved(record, server, level: 8)
        // Others come meanwhile.
        for _ in 0..<40 { _ = try server.ask(.put(record: server.record().encode())) }
        guard case .solvedPut(_, let solution) = good else { return }
        var other = try server.record()
        var puzzle = PutPuzzle(other, holder: server.core.own)
        while puzzle.strength(of: solution) >= 8 {
            other = try server.record()
            puzzle = PutPuzzle(other, holder: server.core.own)
        }
        let stolen = try server.ask(.solvedPut(record: other.encode(), solution: solution))
        #expect(stolen.map { if case .puzzle = $0 { true } else { false } } == true)
        var elsewhere = try #require(PuzzleSolver(PutPuzzle(record, holder: Bytes32()), level: 8))
        while !elsewhere.isOver { elsewhere.step() }
        var here = PutPuzzle(record, holder: server.core.own)
        if let foreign = elsewhere.solution, here.strength(of: foreign) < 8 {
            #expect(try server.ask(.solvedPut(record: record.encode(), solution: foreign)) != .stored(sequence: 1))
        }
        #expect(try server.ask(good) == .stored(sequence: 1))
        #expect(server.core.counters.puzzlesAccepted == 1)
        // What is held already needs no work.
        #expect(try server.ask(.put(record: record.encode())) == .stored(sequence: 1))
    }

    @Test("a solved puzzle buys a look at the record and nothing more")
    func signature() throws {
        var configuration = DirectoryConfiguration()
        configuration.freePuts = 1
        var server = try LoneServer(seed: 403, configuration)
        var bytes = try server.record().encode()
        bytes[bytes.count - 1] ^= 1
        let forged = try DirectoryRecord(decoding: bytes)
        #expect(try server.ask(solved(forged, server, level: 16)) == .refused(.wrongSignature))
    }

    @Test("a store that is half full demands work of what needs room, and of nothing else")
    func fullness() throws {
        var configuration = DirectoryConfiguration()
        configuration.recordLimit = 8
        var server = try LoneServer(seed: 404, configuration)
        let publisher = Publisher(&server.entropy)
        func renewed(_ sequence: UInt64, _ server: inout LoneServer) throws -> DirectoryRecord {
            try publisher.record(server.now, sequence: sequence, lasting: 3600, entropy: &server.entropy)
        }
        #expect(try server.ask(.put(record: renewed(1, &server).encode())) == .stored(sequence: 1))
        for _ in 0..<3 { #expect(try server.ask(.put(record: server.record().encode())) == .stored(sequence: 1)) }
        for level in [8, 10, 12, 14] {
            let record = try server.record()
            #expect(try server.ask(.put(record: record.encode())) == .puzzle(level: level))
            #expect(try server.ask(solved(record, server, level: level)) == .stored(sequence: 1))
            #expect(
                try server.ask(.put(record: renewed(UInt64(level), &server).encode()))
                    == .stored(sequence: UInt64(level)))
        }
        let record = try server.record()
        #expect(try server.ask(solved(record, server, level: 16)) == .refused(.full))
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
        #expect(PuzzleSolver(PutPuzzle(record, holder: server.core.own), level: 17) == nil)
        for level in [0, 7, 17, 255] as [UInt8] {
            #expect(throws: WireError.outOfRange(field: "level")) { try DirectoryMessage(decoding: [71, level]) }
        }
        var garbage = Garbage("puzzle messages", seed: 406)
        let encoded: [[UInt8]] = [
            DirectoryMessage.solvedPut(record: record.encode(), solution: 7).encode(),
            DirectoryMessage.puzzle(level: 9).encode(),
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
