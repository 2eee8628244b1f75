import Primitives
import Records
import Testing
import Wire

@testable import Directory

@Suite struct PlacementTests {
    static func nodes(_ count: Int, clusters: Int, prefixes: Int, seed: UInt64) -> [Placement.Node] {
        var entropy = Entropy(seed: seed)
        let keys = (0..<clusters).map { _ in VerifyingKey(entropy.bytes()) }
        return (0..<count).map {
            Placement.Node(id: entropy.bytes(), cluster: keys[$0 % clusters], prefix: [10, UInt8($0 % prefixes)])
        }
    }

    @Test("a placement that remembers where rings begin gives the same holders as one that does not")
    func remembering() {
        var entropy = Entropy(seed: 19)
        let nodes = (0..<80).map { index in
            Placement.Node(
                id: entropy.bytes(), cluster: VerifyingKey(entropy.bytes()), prefix: [UInt8(index / 3), 0])
        }
        let plain = Placement(nodes: nodes, epoch: 7)
        let remembering = plain.remembering()
        let silent = Set(nodes.prefix(20).map(\.id))
        for _ in 0..<20 {
            let key = VerifyingKey(entropy.bytes())
            for _ in 0..<2 {
                #expect(remembering.rings(of: key) == plain.rings(of: key))
                #expect(remembering.rings(of: key, without: silent) == plain.rings(of: key, without: silent))
            }
        }
    }

    @Test("twenty different holders in four rings of five, of different clusters and prefixes")
    func diversity() {
        var entropy = Entropy(seed: 1)
        let nodes = PlacementTests.nodes(300, clusters: 100, prefixes: 200, seed: 2)
        let byID = Dictionary(uniqueKeysWithValues: nodes.map { ($0.id, $0) })
        let placement = Placement(nodes: nodes, epoch: 20_000)
        for _ in 0..<200 {
            let rings = placement.rings(of: VerifyingKey(entropy.bytes()))
            #expect(rings.map(\.count) == [5, 5, 5, 5])
            let holders = rings.flatMap(\.self)
            #expect(Set(holders).count == 20)
            #expect(Set(holders.compactMap { byID[$0]?.cluster }).count == 20)
            #expect(Set(holders.compactMap { byID[$0]?.prefix }).count == 20)
        }
    }

    @Test("every node of a network of up to twenty holds every record", arguments: [0, 1, 2, 7, 19, 20])
    func small(_ count: Int) {
        var entropy = Entropy(seed: 3)
        let nodes = PlacementTests.nodes(count, clusters: max(1, count), prefixes: 1, seed: 4)
        let placement = Placement(nodes: nodes, epoch: 1)
        for _ in 0..<20 {
            let key = VerifyingKey(entropy.bytes())
            #expect(Set(placement.holders(of: key)) == Set(nodes.map(\.id)))
            #expect(nodes.allSatisfy { placement.isResponsible($0.id, for: key) })
        }
    }

    @Test("the closest by XOR are those that sorting all nodes gives, near and far, in networks of every size")
    func closest() {
        var entropy = Entropy(seed: 9)
        for count in [0, 1, 2, 19, 300] {
            let nodes = PlacementTests.nodes(count, clusters: 50, prefixes: 40, seed: 10)
            let placement = Placement(nodes: nodes, epoch: 3)
            var targets: [Bytes32] = (0..<50).map { _ in entropy.bytes() }
            targets += nodes.prefix(20).map(\.id)
            for target in targets {
                let sorted = nodes.sorted { $0.id.distance(to: target) < $1.id.distance(to: target) }
                for limit in [1, 8, 20, 400] {
                    #expect(placement.closest(to: target, limit) == Array(sorted.prefix(limit)))
                }
                let chosen = placement.searched(target, 8)
                #expect(chosen.count == min(8, count))
                #expect(Set(chosen).isSubset(of: Set(sorted.prefix(16))))
                // Sixteen of so many clusters and prefixes hardly ever have fewer than six of each.
                if count == 300 {
                    #expect(Set(chosen.map(\.cluster)).count >= 6 && Set(chosen.map(\.prefix)).count >= 6)
                }
            }
        }
    }

    @Test("holders do not depend on the order of the map, change with the epoch, and are all responsible")
    func deterministic() {
        var entropy = Entropy(seed: 5)
        var nodes = PlacementTests.nodes(100, clusters: 100, prefixes: 100, seed: 6)
        let first = Placement(nodes: nodes, epoch: 7)
        entropy.shuffle(&nodes)
        let second = Placement(nodes: nodes, epoch: 7)
        let later = Placement(nodes: nodes, epoch: 8)
        var changed = 0
        for _ in 0..<50 {
            let key = VerifyingKey(entropy.bytes())
            #expect(first.rings(of: key) == second.rings(of: key))
            if first.rings(of: key) != later.rings(of: key) { changed += 1 }
            #expect(first.holders(of: key).allSatisfy { first.isResponsible($0, for: key) })
        }
        #expect(changed == 50)
    }

    @Test("records are shared out evenly: no node has four times the mean, and few are responsible for any one")
    func balance() {
        var entropy = Entropy(seed: 7)
        let nodes = PlacementTests.nodes(200, clusters: 200, prefixes: 200, seed: 8)
        let placement = Placement(nodes: nodes, epoch: 9)
        var load: [NodeID: Int] = [:]
        for _ in 0..<2000 {
            for holder in placement.holders(of: VerifyingKey(entropy.bytes())) { load[holder, default: 0] += 1 }
        }
        // 2000 records of 20 copies at 200 nodes: 200 each.
        #expect((load.values.max() ?? 0) < 800)
        #expect(load.count == 200)
        let key = VerifyingKey(entropy.bytes())
        #expect(nodes.count { placement.isResponsible($0.id, for: key) } <= 4 * 13 + 20)
    }

    @Test("a new node moves few copies of a record")
    func stability() {
        var entropy = Entropy(seed: 9)
        let nodes = PlacementTests.nodes(201, clusters: 201, prefixes: 201, seed: 10)
        let before = Placement(nodes: Array(nodes.dropLast()), epoch: 3)
        let after = Placement(nodes: nodes, epoch: 3)
        var moved = 0
        for _ in 0..<200 {
            let key = VerifyingKey(entropy.bytes())
            moved += Set(after.holders(of: key)).subtracting(before.holders(of: key)).count
        }
        // One of 201 nodes takes a two-hundredth of 4000 copies.
        #expect(moved < 100)
    }

    @Test("nodes in probation hold nothing, and silent ones are passed over for the next")
    func probation() {
        var entropy = Entropy(seed: 11)
        var nodes = PlacementTests.nodes(100, clusters: 100, prefixes: 100, seed: 12)
        let all = Placement(nodes: nodes, epoch: 5)
        for index in 0..<50 { nodes[index].countsFrom = 6 }
        let young = Set(nodes.prefix(50).map(\.id))
        let counted = Placement(nodes: nodes, epoch: 5)
        let reference = Placement(nodes: Array(nodes.dropFirst(50)), epoch: 5)
        #expect(counted.nodeCount == 50)
        for _ in 0..<50 {
            let key = VerifyingKey(entropy.bytes())
            #expect(counted.rings(of: key) == reference.rings(of: key))
            // To leave nodes out as silent comes to the same as never to have had them.
            #expect(all.rings(of: key, without: young) == reference.rings(of: key))
        }
        let unknown: NodeID = entropy.bytes()
        #expect(counted.node(unknown) == nil && counted.neighbours(of: unknown, 8).isEmpty)
        let neighbours = counted.neighbours(of: nodes[70].id, 8)
        #expect(Set(neighbours.map(\.id)).count == 16)
        #expect(!neighbours.contains { $0.id == nodes[70].id })
        let three = Placement(nodes: Array(nodes.suffix(3)), epoch: 5)
        #expect(three.neighbours(of: nodes[99].id, 8).count == 2)
    }

    @Test("neighbours reach past the silent ones to the eighth that lives on each side, and no further than the limit")
    func neighboursPastSilent() {
        let nodes = PlacementTests.nodes(100, clusters: 100, prefixes: 100, seed: 15)
        let circle = Placement(nodes: nodes, epoch: 5)
        let own = nodes[3].id
        let nearest = circle.neighbours(of: own, 8)
        let silent = Set(nearest.map(\.id))
        let wider = circle.neighbours(of: own, 8, silent: silent, limit: 32).map(\.id)
        #expect(wider == circle.neighbours(of: own, 16).map(\.id))
        let oneSided = Set(stride(from: 0, to: 16, by: 2).map { nearest[$0].id })
        let longer = circle.neighbours(of: own, 8, silent: oneSided, limit: 32).map(\.id)
        #expect(longer.count == 24 && silent.isSubset(of: longer) && Set(longer).isSubset(of: wider))
        let everybody = Set(nodes.map(\.id))
        #expect(circle.neighbours(of: own, 8, silent: everybody, limit: 32).count == 64)
        // All others once, on a circle of an even number.
        #expect(Set(circle.neighbours(of: own, 8, silent: everybody).map(\.id)).count == 99)
        #expect(circle.neighbours(of: own, 8, silent: everybody).count == 99)
    }
}

extension PlacementTests {
    @Test("in a network that is too young all count; a cluster and a prefix count for their share, drawn anew each day")
    func shares() {
        var young = PlacementTests.nodes(100, clusters: 100, prefixes: 100, seed: 13)
        for index in 0..<81 { young[index].countsFrom = 6 }
        #expect(Placement(nodes: young, epoch: 5).nodeCount == 100)
        #expect(Placement(nodes: young, epoch: 6).nodeCount == 100)
        young[0].countsFrom = 0
        #expect(Placement(nodes: young, epoch: 5).nodeCount == 20)

        var nodes = PlacementTests.nodes(2000, clusters: 2000, prefixes: 256, seed: 14)
        let mine = PlacementTests.nodes(500, clusters: 1, prefixes: 256, seed: 15)
        var near = PlacementTests.nodes(500, clusters: 500, prefixes: 1, seed: 16)
        for index in near.indices { near[index].prefix = [99, 99] }
        nodes += mine + near
        var counted: [Set<NodeID>] = []
        for epoch in UInt64(5)...6 {
            let placement = Placement(nodes: nodes, epoch: epoch)
            let own = Set(mine.map(\.id).filter { placement.node($0) != nil })
            #expect(own.count == 3000 / 64)
            // The cluster's own share comes first, so a prefix has its share of somewhat fewer.
            #expect(near.count { placement.node($0.id) != nil } == 3000 / 64)
            counted.append(own)
            // Another's map, which lacks some of the nodes, leaves out nearly the same.
            let other = Placement(nodes: nodes.enumerated().filter { $0.offset % 50 != 0 }.map(\.element), epoch: epoch)
            #expect(own.count { other.node($0) == nil } <= 4)
        }
        #expect(counted[0] != counted[1])
    }
}
