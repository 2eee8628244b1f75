import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Directory

/// specs/vectors/directory.json, which Python has written.
private struct Vectors: Decodable {
    struct Statement: Decodable {
        let seed: String
        let server: String
        let time: String
        let digest: String
        let signature: String
    }

    struct Case: Decodable {
        let epoch: String
        let server: String
        let node: String
        let standIn: String
        let position: String
        let key: String
        let indices: [String]
        let previous: String
        let fallback: String
        let secret: String
        let participant: String
        let commitment: String
        let commitDigest: String
        let revealed: [[String]]
        let value: String
        let absence: Statement
    }

    struct Puzzle: Decodable {
        let key: String
        let epoch: String
        let sequence: String
        let holder: String
        /// Empty for a puzzle of the version without.
        let challenge: String
        @Number var level: Int
        let solution: String
        let digest: String
        @Number var strength: Int
    }

    struct Circle: Decodable {
        let shared: String
        let key: String
        let nodes: [[String]]
        let rings: [[String]]
        let targets: [String]
        let searched: [[String]]
    }

    struct Brakes: Decodable {
        let epoch: String
        let shared: String
        let nodes: [[String]]
        let lots: [String]
        let counted: [String]
    }

    let cases: [Case]
    let puzzles: [Puzzle]
    let placement: Circle
    let brakes: Brakes

    static func bytes<T: FixedBytes>(_ hex: String) throws -> T {
        let raw = try #require(Hex.decode(hex))
        return try #require(T(raw))
    }

    static func nodes(_ nodes: [[String]]) throws -> [Placement.Node] {
        try nodes.map {
            Placement.Node(
                id: try bytes($0[0]), cluster: VerifyingKey(try bytes($0[1])), prefix: try #require(Hex.decode($0[2])))
        }
    }
}

@Suite struct DirectoryVectorTests {
    private func vectors() throws -> Vectors { try Peer.vectors("directory") }

    @Test("places, indices, the shared value, its fallback and the negative statement are those of the vectors")
    func known() throws {
        let cases = try vectors().cases
        #expect(cases.count == 5)
        for one in cases {
            let epoch = try #require(UInt64(one.epoch))
            let node = Node.id(of: VerifyingKey(try Vectors.bytes(one.server)))
            let shared = Placement.sharedRandom(epoch: epoch)
            #expect(node.hex == one.node)
            #expect(shared.hex == one.standIn)
            #expect(Placement.position(of: node, shared: shared).hex == one.position)
            let key = VerifyingKey(try Vectors.bytes(one.key))
            #expect((0..<4).map { Placement.index(of: key, ring: $0).hex } == one.indices)
            let previous: Bytes32 = try Vectors.bytes(one.previous)
            #expect(SharedRandom.fallback(previous: previous, epoch: epoch).hex == one.fallback)
            let commitment = SharedRandom.commitment(
                try Vectors.bytes(one.secret), of: VerifyingKey(try Vectors.bytes(one.participant)), epoch: epoch)
            #expect(commitment.hex == one.commitment)
            #expect(Hex.encode(SharedRandom.Message.digest(.commit, epoch, commitment)) == one.commitDigest)
            var secrets: [VerifyingKey: Bytes32] = [:]
            for pair in one.revealed { secrets[VerifyingKey(try Vectors.bytes(pair[0]))] = try Vectors.bytes(pair[1]) }
            #expect(SharedRandom.value(previous: previous, epoch: epoch, secrets: secrets).hex == one.value)
            var seed = try #require(Hex.decode(one.absence.seed))
            let signer = try SigningKey(seed: SecretBytes(taking: &seed))
            let server = signer.publicKey
            let time = try #require(UInt64(one.absence.time))
            let digest = Absence.digest(server: server, key: key, epoch: epoch, time: time)
            let signature = signer.sign(digest)
            #expect(server.bytes.hex == one.absence.server)
            #expect(Hex.encode(digest) == one.absence.digest)
            #expect(signature.bytes.hex == one.absence.signature)
            let absence = Absence(serverID: server, time: time, signature: signature)
            #expect(absence.isValid(from: server, key: key, epoch: epoch, at: Timestamp(seconds: time)))
        }
    }

    @Test("puzzles and their first solutions are those of the vectors")
    func puzzles() throws {
        let puzzles = try vectors().puzzles
        #expect(puzzles.count == 8 && puzzles.count { $0.challenge.isEmpty } == 4)
        for one in puzzles {
            let challenge: Bytes16? = one.challenge.isEmpty ? nil : try Vectors.bytes(one.challenge)
            var puzzle = PutPuzzle(
                key: VerifyingKey(try Vectors.bytes(one.key)), epoch: try #require(UInt64(one.epoch)),
                sequence: try #require(UInt64(one.sequence)), holder: try Vectors.bytes(one.holder),
                challenge: challenge)
            let solution = try #require(UInt64(one.solution))
            #expect(puzzle.digest(solution).hex == one.digest)
            #expect(puzzle.strength(of: solution) == one.strength)
            var solver = try #require(PuzzleSolver(puzzle, level: one.level))
            while !solver.isOver { solver.step() }
            #expect(solver.solution == solution)
        }
    }

    @Test("the holders, and those who keep copies for searches, are those of the vectors")
    func holders() throws {
        let circle = try vectors().placement
        let placement = Placement(
            nodes: try Vectors.nodes(circle.nodes), epoch: 0, shared: try Vectors.bytes(circle.shared))
        let key = VerifyingKey(try Vectors.bytes(circle.key))
        #expect(placement.rings(of: key).map { $0.map(\.hex) } == circle.rings)
        let targets = (0..<Placement.searchPlaces).map { placement.searchTarget(of: key, place: $0) }
        #expect(targets.map(\.hex) == circle.targets)
        #expect(targets.map { placement.searched($0, 8).map(\.id.hex) } == circle.searched)
        let nodes = Set(placement.searched(for: key, 8).map(\.id.hex))
        #expect(nodes == Set(circle.searched.joined()))
    }

    @Test(
        "the nodes that count are those of the vectors: newcomers left out, a cluster and a prefix cut to their share")
    func counted() throws {
        let brakes = try vectors().brakes
        let epoch = try #require(UInt64(brakes.epoch))
        let shared: Bytes32 = try Vectors.bytes(brakes.shared)
        var nodes = try Vectors.nodes(brakes.nodes)
        for (index, node) in brakes.nodes.enumerated() {
            nodes[index].countsFrom = try #require(UInt64(node[3]))
            #expect(Placement.lot(of: nodes[index].id, shared: shared).hex == brakes.lots[index])
        }
        let counted = Placement.counted(nodes, epoch: epoch, shared: shared)
        #expect(counted.map(\.id).sorted().map(\.hex) == brakes.counted)
        #expect(counted.count < 100)
    }
}

@Suite("An independent computation of the directory in Python", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
struct DirectoryPeerTests {
    /// What Python says of a number, and the first that makes eight bits zero.
    private static func answer(_ puzzle: PutPuzzle, _ guess: UInt64) -> [String: String] {
        var puzzle = puzzle
        var solver = PuzzleSolver(puzzle, level: 8)
        while solver?.isOver == false { solver?.step() }
        return [
            "digest": puzzle.digest(guess).hex, "strength": String(puzzle.strength(of: guess)),
            "first": solver?.solution.map { String($0) } ?? "none",
        ]
    }

    @Test("agrees about holders, places, shared values, puzzles and negative statements")
    func agreement() throws {
        let seed: UInt64 = 600
        print("directory against Python: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var requests: [[String: Any]] = []
        var expected: [[String: String]] = []
        for round in 0..<20 {
            let epoch = entropy.uint64()
            let shared: Bytes32 = entropy.bytes()
            let key = VerifyingKey(entropy.bytes())
            let nodes = PlacementTests.nodes(1 + round * 7, clusters: 1 + round * 3, prefixes: 1 + round, seed: epoch)
            requests.append([
                "operation": "holders", "shared": shared.hex, "key": key.bytes.hex,
                "nodes": nodes.map { [$0.id.hex, $0.cluster.bytes.hex, Hex.encode($0.prefix)] },
            ])
            let rings = Placement(nodes: nodes, epoch: epoch, shared: shared).rings(of: key)
            expected.append(["rings": rings.map { $0.map(\.hex).joined(separator: ",") }.joined(separator: "|")])
            requests.append([
                "operation": "place", "epoch": String(epoch), "node": nodes[0].id.hex, "shared": "",
            ])
            let stand = Placement.sharedRandom(epoch: epoch)
            expected.append([
                "position": Placement.position(of: nodes[0].id, shared: stand).hex, "shared": stand.hex,
            ])
            requests.append(["operation": "fallback", "epoch": String(epoch), "previous": shared.hex])
            expected.append(["value": SharedRandom.fallback(previous: shared, epoch: epoch).hex])
            var secrets: [VerifyingKey: Bytes32] = [:]
            for _ in 0..<round { secrets[VerifyingKey(entropy.bytes())] = entropy.bytes() }
            requests.append([
                "operation": "value", "epoch": String(epoch), "previous": shared.hex,
                "secrets": secrets.map { [$0.key.bytes.hex, $0.value.hex] },
            ])
            expected.append(["value": SharedRandom.value(previous: shared, epoch: epoch, secrets: secrets).hex])
            let challenge: Bytes16? = round % 2 == 0 ? nil : entropy.bytes()
            let puzzle = PutPuzzle(
                key: key, epoch: epoch, sequence: UInt64(round), holder: nodes[0].id, challenge: challenge)
            let guess = entropy.uint64()
            requests.append([
                "operation": "puzzle", "epoch": String(epoch), "key": key.bytes.hex, "sequence": String(round),
                "holder": nodes[0].id.hex, "challenge": challenge?.hex ?? "", "solution": String(guess), "level": "8",
            ])
            expected.append(DirectoryPeerTests.answer(puzzle, guess))
            var raw = entropy.array(32)
            let time = UInt64(entropy.below(1 << 40))
            requests.append([
                "operation": "absence", "epoch": String(epoch), "seed": Hex.encode(raw), "key": key.bytes.hex,
                "time": String(time),
            ])
            let signer = try SigningKey(seed: SecretBytes(taking: &raw))
            let digest = Absence.digest(server: signer.publicKey, key: key, epoch: epoch, time: time)
            expected.append([
                "server": signer.publicKey.bytes.hex, "digest": Hex.encode(digest),
                "signature": signer.sign(digest).bytes.hex,
            ])
        }
        let answers = try Peer("directory").answers(to: requests, as: [String: String].self)
        #expect(answers.count == expected.count)
        for (answer, expected) in zip(answers, expected) { #expect(answer == expected) }
    }
}
