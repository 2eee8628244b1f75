import Primitives
import Records
import Testing

@testable import Federation

@Suite("Endorsements as a graph")
struct EndorsementGraphTests {
    /// Mutual endorsements between clusters 0 ..< count, and the keys in that order.
    private static func graph(_ count: Int, _ edges: [(Int, Int)]) -> (EndorsementGraph, [VerifyingKey]) {
        let keys = (0..<count).map { TestCluster($0).id }
        var graph = EndorsementGraph()
        for (index, key) in keys.enumerated() {
            let peers = edges.compactMap { $0.0 == index ? keys[$0.1] : $0.1 == index ? keys[$0.0] : nil }
            graph.set(key, endorsing: peers)
        }
        return (graph, keys)
    }

    /// Clusters that the roots still reach when any one cluster between, or any one root's endorsement, is taken away.
    private static func byRemoval(_ count: Int, _ edges: [(Int, Int)], roots: Set<Int>) -> Set<Int> {
        func reached(without gone: Int?, _ lost: (Int, Int)?) -> Set<Int> {
            var seen = roots
            var frontier = Array(roots)
            while let here = frontier.popLast() {
                for (left, right) in edges where left == here || right == here {
                    if let lost, lost == (left, right) { continue }
                    let other = left == here ? right : left
                    if other != gone, seen.insert(other).inserted { frontier.append(other) }
                }
            }
            return seen
        }
        let all = reached(without: nil, nil)
        guard all.count >= EndorsementGraph.smallMap else { return all }
        var out = roots
        for target in all.subtracting(roots) {
            let cutsVertex = (0..<count).contains { gone in
                gone != target && !roots.contains(gone) && !reached(without: gone, nil).contains(target)
            }
            let direct = edges.filter { edge in
                (edge.0 == target && roots.contains(edge.1)) || (edge.1 == target && roots.contains(edge.0))
            }
            let cutsEdge = direct.contains { !reached(without: nil, $0).contains(target) }
            if !cutsVertex, !cutsEdge { out.insert(target) }
        }
        return out
    }

    @Test("admit the same clusters as taking every cluster away in turn does, on random graphs")
    func againstRemoval() {
        let seed: UInt64 = 20_261_124
        print("endorsement graphs: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var refused = 0
        for _ in 0..<400 {
            let count = 3 + entropy.below(12)
            let roots = Set((0..<1 + entropy.below(3)).map { _ in entropy.below(count) })
            var edges: [(Int, Int)] = []
            for left in 0..<count {
                for right in left + 1..<max(left + 1, count) where entropy.below(count) < 2 {
                    edges.append((left, right))
                }
            }
            let (graph, keys) = EndorsementGraphTests.graph(count, edges)
            let expected = EndorsementGraphTests.byRemoval(count, edges, roots: roots)
            let admitted = graph.admitted(roots: Set(roots.map { keys[$0] }))
            #expect(admitted == Set(expected.map { keys[$0] }), "roots \(roots), edges \(edges)")
            refused += count - expected.count
        }
        #expect(refused > 100)
    }

    @Test("need both sides: who is endorsed and endorses nobody back is not reached")
    func mutual() {
        let keys = (0..<3).map { TestCluster($0).id }
        var graph = EndorsementGraph()
        graph.set(keys[0], endorsing: [keys[1], keys[2]])
        graph.set(keys[1], endorsing: [keys[0], keys[1]])
        #expect(graph.admitted(roots: [keys[0]]) == [keys[0], keys[1]])
        graph.set(keys[1], endorsing: [])
        #expect(graph.admitted(roots: [keys[0]]) == [keys[0]])
        graph.set(keys[1], endorsing: [keys[0]])
        graph.remove(keys[0])
        #expect(graph.admitted(roots: [keys[0]]) == [keys[0]])
    }

    @Test(
        "bring in nobody by one admitted cluster's word, however many there are and however they vouch for each other")
    func sybils() {
        // 0 is the root; 1, 2, 3 peer with it and with each other; 4 ... 43 peer with 3 and with each other.
        var edges = [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]
        for left in 4..<44 {
            edges.append((3, left))
            for right in left + 1..<44 { edges.append((left, right)) }
        }
        let (graph, keys) = EndorsementGraphTests.graph(44, edges)
        #expect(graph.admitted(roots: [keys[0]]) == Set(keys[0..<4]))
        let (second, _) = EndorsementGraphTests.graph(44, edges + [(1, 20)])
        #expect(second.admitted(roots: [keys[0]]).count == 44, "a second endorsement from outside admits them all")
    }

    @Test("show two paths that share nothing for whoever is admitted by two, and the one cluster for whoever is not")
    func paths() {
        let seed: UInt64 = 20_261_125
        print("endorsement paths: seed \(seed)")
        var entropy = Entropy(seed: seed)
        var pairs = 0
        var cuts = 0
        for _ in 0..<300 {
            let count = 6 + entropy.below(12)
            var edges: [(Int, Int)] = []
            for left in 0..<count {
                for right in left + 1..<max(left + 1, count) where entropy.below(count) < 2 {
                    edges.append((left, right))
                }
            }
            let (graph, keys) = EndorsementGraphTests.graph(count, edges)
            let roots = Set(keys.prefix(1 + entropy.below(2)))
            let admitted = graph.admitted(roots: roots)
            for key in keys where !roots.contains(key) {
                let paths = graph.disjointPaths(from: key, roots: roots)
                for path in paths {
                    #expect(path.first == key)
                    #expect(path.last.map { roots.contains($0) } == true)
                    #expect(Set(path).count == path.count)
                    #expect(zip(path, path.dropFirst()).allSatisfy { graph.peers(of: $0).contains($1) })
                    #expect(path.dropLast().allSatisfy { !roots.contains($0) })
                }
                if paths.count == 2 {
                    pairs += 1
                    #expect(admitted.contains(key))
                    #expect(Set(paths[0].dropFirst().dropLast()).isDisjoint(with: paths[1].dropFirst().dropLast()))
                    #expect(paths[0] != paths[1])
                } else if let path = paths.first, !admitted.contains(key) {
                    cuts += 1
                    if let cut = graph.bottleneck(of: key, on: path, roots: roots) {
                        var without = graph
                        without.remove(cut)
                        #expect(without.disjointPaths(from: key, roots: roots).isEmpty)
                        // Nobody nearer is a bottleneck.
                        for nearer in path.dropFirst().prefix(while: { $0 != cut }) {
                            var passed = graph
                            passed.remove(nearer)
                            #expect(!passed.disjointPaths(from: key, roots: roots).isEmpty)
                        }
                    } else {
                        #expect(path.count == 2)
                    }
                }
            }
        }
        #expect(pairs > 100)
        #expect(cuts > 100)
    }

    /// A ladder hangs on one cluster before the root. With a search for each rung this takes minutes.
    @Test("name the one cluster that a long ladder hangs on by one search", .timeLimit(.minutes(1)))
    func ladder() {
        let rungs = 3000
        // 0 is the root, 1 hangs on it; from there two sides, with a rung between each pair.
        var peers: [Int: [Int]] = [0: [1], 1: [0, 2, 3]]
        for rung in 1...rungs {
            let (left, right) = (2 * rung, 2 * rung + 1)
            let below = rung == 1 ? [1, 1] : [left - 2, right - 2]
            let above = rung == rungs ? [] : [left + 2, right + 2]
            peers[left] = [right, below[0]] + above.prefix(1)
            peers[right] = [left, below[1]] + above.suffix(1)
        }
        var entropy = Entropy(seed: 20_261_125)
        let keys = (0..<2 * rungs + 2).map { _ in VerifyingKey(entropy.bytes()) }
        var graph = EndorsementGraph()
        for (number, others) in peers { graph.set(keys[number], endorsing: others.map { keys[$0] }) }
        let top = keys[2 * rungs]
        let paths = graph.disjointPaths(from: top, roots: [keys[0]])
        #expect(paths.count == 1 && paths[0].count == rungs + 2)
        #expect(graph.bottleneck(of: top, on: paths.first ?? [], roots: [keys[0]]) == keys[1])
        let shown = MapGraph.short(path: paths.first ?? [])
        #expect(shown.count == MapGraph.pathLimit + 1)
        #expect(shown.first == MapGraph.short(top) && shown.last == MapGraph.short(keys[0]))
    }

    @Test("hold what each cluster said last, whatever came and went before, and nothing of those who are gone")
    func changes() {
        let seed: UInt64 = 20_261_126
        print("endorsement changes: seed \(seed)")
        var entropy = Entropy(seed: seed)
        let keys = (0..<60).map { _ in VerifyingKey(entropy.bytes()) }
        var graph = EndorsementGraph()
        var model: [VerifyingKey: Set<VerifyingKey>] = [:]
        for step in 0..<6000 {
            let cluster = keys[entropy.below(keys.count)]
            // Now and then most are gone, so that their numbers are given to others.
            if entropy.below(step % 1000 < 500 ? 8 : 2) == 0 {
                graph.remove(cluster)
                model[cluster] = nil
            } else {
                let others = (0..<entropy.below(20)).map { _ in keys[entropy.below(keys.count)] }
                graph.set(cluster, endorsing: others)
                model[cluster] = Set(others)
            }
            guard step % 50 == 0 else { continue }
            for key in keys {
                let said = model[key] ?? []
                #expect(graph.knows(key) == (model[key] != nil))
                #expect(graph.endorsements(of: key) == said.sorted())
                #expect(graph.peers(of: key) == said.filter { $0 != key && model[$0]?.contains(key) == true }.sorted())
            }
        }
        for key in keys { graph.remove(key) }
        #expect(keys.allSatisfy { graph.names[$0] == nil })
        #expect(graph.names.limit <= keys.count)
    }

    @Test("follow a chain and a ring of ten thousand clusters without using up the stack")
    func deep() {
        let count = 10_000
        var graph = EndorsementGraph()
        var entropy = Entropy(seed: 7)
        let keys = (0..<count).map { _ in VerifyingKey(entropy.bytes()) }
        for index in 0..<count {
            graph.set(keys[index], endorsing: [index - 1, index + 1].filter { $0 >= 0 && $0 < count }.map { keys[$0] })
        }
        #expect(graph.admitted(roots: [keys[0]]) == [keys[0]])
        graph.set(keys[0], endorsing: [keys[1], keys[count - 1]])
        graph.set(keys[count - 1], endorsing: [keys[count - 2], keys[0]])
        #expect(graph.admitted(roots: [keys[0]]).count == count)
    }
}
