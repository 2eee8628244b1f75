import Primitives
import Records
import Testing
import Wire

@testable import Federation

@Suite("The comparison of snapshots")
struct SnapshotComparisonTests {
    private let epoch = MapNetwork.start.epoch

    private func statement(_ fill: UInt8) -> SnapshotComparison.Statement {
        .init(root: Bytes32([UInt8](repeating: fill, count: 32)) ?? Bytes32(), count: 3)
    }

    /// A comparison with clusters 0 ..< count, `perPrefix` of which share an address prefix each.
    private func comparison(_ count: Int, perPrefix: Int = 1, own: UInt8? = 1) -> SnapshotComparison {
        var entropy = Entropy(seed: 96)
        var clusters: [VerifyingKey: UInt32] = [:]
        for number in 0..<count { clusters[TestCluster(number).id] = UInt32(number / perPrefix) }
        return SnapshotComparison(epoch: epoch, own: own.map { statement($0) }, clusters: clusters, entropy: &entropy)
    }

    private func vote(_ comparison: inout SnapshotComparison, _ clusters: Range<Int>, _ fill: UInt8) throws {
        for number in clusters { _ = comparison.add(try TestSigner(number, cluster: number).root(fill)) }
    }

    @Test("agrees only when more than half of the sample has signed the own view")
    func majority() throws {
        var comparison = comparison(10)
        #expect(comparison.verdict == .undecided(answers: 0, needed: 6))
        try vote(&comparison, 0..<5, 1)
        #expect(comparison.verdict == .undecided(answers: 5, needed: 6))
        #expect(comparison.missing.count == 5)
        try vote(&comparison, 5..<6, 1)
        #expect(comparison.verdict == .agreed(statement(1)))
    }

    @Test("refuses a view that less than a quarter of the answers share, and contests what is between")
    func refusal() throws {
        var few = comparison(12)
        try vote(&few, 0..<1, 1)
        try vote(&few, 1..<7, 2)
        #expect(few.verdict == .refused)
        try vote(&few, 7..<9, 1)
        #expect(few.verdict == .contested)
        var none = comparison(12)
        try vote(&none, 0..<12, 2)
        #expect(none.verdict == .refused)
    }

    @Test("without a view of one's own finds that of the majority, or none")
    func withoutOwn() throws {
        var comparison = comparison(9, own: nil)
        try vote(&comparison, 0..<4, 1)
        try vote(&comparison, 4..<7, 2)
        #expect(comparison.verdict == .contested)
        try vote(&comparison, 7..<8, 1)
        #expect(comparison.verdict == .agreed(statement(1)))
    }

    @Test("is not persuaded by many clusters of one network")
    func prefixes() throws {
        // Nine clusters in three networks, then two in networks of their own.
        var comparison = comparison(11, perPrefix: 6)
        try vote(&comparison, 0..<6, 1)
        #expect(comparison.verdict == .contested)
        try vote(&comparison, 6..<7, 1)
        #expect(comparison.verdict == .agreed(statement(1)))
    }

    @Test("gives one vote to a cluster, none to one that contradicts itself, is not admitted, or speaks of another day")
    func oneVote() throws {
        var comparison = comparison(5)
        let signer = TestSigner(0, cluster: 0)
        #expect(comparison.add(try signer.root(1)) == .counted)
        #expect(comparison.add(try signer.root(1)) == .duplicate)
        #expect(comparison.add(try TestSigner(77, cluster: 0).root(1)) == .duplicate)
        #expect(comparison.add(try TestSigner(9, cluster: 9).root(1)) == .ignored)
        #expect(comparison.add(try TestSigner(1, cluster: 1).root(1, epoch: epoch - 1)) == .ignored)
        try vote(&comparison, 1..<3, 1)
        #expect(comparison.verdict == .agreed(statement(1)))
        let outcome = comparison.add(try signer.root(2))
        #expect(outcome == .contradiction(try EquivocationEvidence(signer.root(1), signer.root(2))))
        #expect(comparison.verdict == .contested)
    }

    @Test("needs three answers however small the network is")
    func small() throws {
        var comparison = comparison(2)
        try vote(&comparison, 0..<2, 1)
        #expect(comparison.verdict == .undecided(answers: 2, needed: 3))
    }

    @Test("asks a sample of 64 of a large network, which others cannot foresee")
    func sample() {
        var clusters: [VerifyingKey: UInt32] = [:]
        var entropy = Entropy(seed: 97)
        for _ in 0..<300 { clusters[VerifyingKey(entropy.bytes())] = 10 }
        let one = SnapshotComparison(epoch: epoch, own: nil, clusters: clusters, entropy: &entropy)
        let other = SnapshotComparison(epoch: epoch, own: nil, clusters: clusters, entropy: &entropy)
        #expect(one.voters.count == 64)
        #expect(other.voters.count == 64)
        #expect(Set(one.voters.keys) != Set(other.voters.keys))
        #expect(one.voters.keys.allSatisfy { clusters[$0] != nil })
    }
}
