import Foundation
import Primitives
import Records
import SecondImplementation
import Testing

@testable import Federation

/// specs/vectors/paths.json: keys in hexadecimal, numbers in decimal digits.
private struct PathVectors: Decodable {
    struct Relay: Decodable {
        let server, cluster, node, layer, place, firstPoint: String
        let measurers: [String]
    }
    let epoch, root, value, seed, seedWithoutValue, seedWithoutBoth, signer, statement, identifier: String
    let relays: [Relay]
    let steps: [String]

    static func read() throws -> PathVectors { try Peer.vectors("paths") }
}

@Suite("Layers and capacity of another implementation")
struct PathVectorTests {
    private func bytes32(_ text: String) throws -> Bytes32 {
        let bytes = try #require(Hex.decode(text))
        return try #require(Bytes32(bytes))
    }

    @Test("the committed layers and measurers are ours, with every place on the circle")
    func assignment() throws {
        let vectors = try PathVectors.read()
        let epoch = try #require(UInt64(vectors.epoch))
        let root = try bytes32(vectors.root)
        let seed = MixLayers.seed(epoch: epoch, root: root, value: try bytes32(vectors.value))
        #expect(seed.hex == vectors.seed)
        #expect(MixLayers.seed(epoch: epoch, root: root, value: nil).hex == vectors.seedWithoutValue)
        #expect(MixLayers.seed(epoch: epoch, root: nil, value: nil).hex == vectors.seedWithoutBoth)
        let relays = try vectors.relays.map {
            CapacityBook.Relay(node: try bytes32($0.node), cluster: VerifyingKey(try bytes32($0.cluster)))
        }
        let book = CapacityBook(relays: relays, seed: seed)
        #expect(vectors.relays.count == 24)
        for (made, relay) in zip(vectors.relays, relays) {
            let server = VerifyingKey(try bytes32(made.server))
            #expect(Node.id(of: server) == relay.node)
            #expect("\(MixLayers.layer(of: server, seed: seed))" == made.layer)
            #expect("\(CapacityBook.hash(seed, relay.cluster.bytes, 0))" == made.place)
            #expect("\(CapacityBook.hash(seed, relay.node, 1))" == made.firstPoint)
            #expect(book.measurers(of: relay).map(\.bytes.hex) == made.measurers)
        }
    }

    @Test("the committed statement is signed the same by us")
    func statement() throws {
        let vectors = try PathVectors.read()
        var seed = try #require(Hex.decode(vectors.signer))
        let key = try SigningKey(seed: SecretBytes(taking: &seed))
        var results: [NodeID: UInt8] = [:]
        for (step, relay) in zip(vectors.steps, vectors.relays) { results[try bytes32(relay.node)] = UInt8(step) }
        let epoch = try #require(UInt64(vectors.epoch))
        let statement = CapacityStatement(epoch: epoch, results: results, server: key.publicKey) { key.sign($0) }
        #expect(results.count == 9 && Hex.encode(statement.encode()) == vectors.statement)
        #expect("\(CapacityMessage.name(statement.encode()))" == vectors.identifier)
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("paths").writesVectors()) }
}
