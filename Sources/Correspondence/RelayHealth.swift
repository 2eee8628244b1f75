import Primitives
import Records
import Storage
import Wire

/// Which relays the agent's own loops come back from (specs/correspondence.md, "Relays that do not answer").
///
/// A loop that returns speaks for its gateway and for each of its mixes. One that is lost was lost by one of them, and
/// counts against each by how much speaks against it already: so what two relays lose is soon told apart from the bad
/// luck of those who share their paths, also when they let something through now and then (one step of expectation
/// maximisation for each loop). A relay that loses the half is not used while enough others are left; every eighth loop
/// still goes through any relay, so that one that is back is noticed. A relay that drops loops to discredit its
/// neighbours on paths discredits itself first: it is on all of them.
struct RelayHealth: Sendable {
    /// What came of the loops through a relay, the last ten or so.
    private struct Record: Sendable {
        /// What a relay of which nothing is known counts as.
        static let unknown = (passed: 1.0, lost: 0.1)
        /// What is left of earlier loops with each further one.
        static let memory = 0.9

        var passed = 0.0
        var lost = 0.0
        var lastLoss: Timestamp?

        /// The share of envelopes that the relay passes on, as far as is known.
        var rate: Double {
            let passed = passed + Record.unknown.passed
            return passed / (passed + lost + Record.unknown.lost)
        }

        mutating func add(passed: Double = 0, lost: Double = 0) {
            self.passed = self.passed * Record.memory + passed
            self.lost = self.lost * Record.memory + lost
        }
    }

    /// A relay that passes on less is avoided.
    static let leastRate = 0.5
    /// Milliseconds after its last loss after which a relay is avoided no more: in a large map probes seldom meet it. One
    /// more loss is enough against it then.
    static let parole: UInt64 = 1_800_000
    /// What counts against those that the last run avoided, and against one on parole.
    private static let oldLosses = (avoided: 3.0, paroled: 0.8)
    /// While a larger share of loops is lost, or hardly any has come back, one turn in so many goes to a loop whatever
    /// waits: requests would else take the turns of the loops that find out by which way they get through.
    private static let lossInDoubt = 0.25
    private static let loopsInDoubt = 3.0
    static let turnsInDoubt = 4
    /// Of so many loops one goes through any relay.
    static let probeInterval = 8
    /// Milliseconds in which a loop must be back, beside the delays of its mixes.
    static let patience: UInt64 = 4000
    private static let loopLimit = 2048
    /// Losses after which a gateway is given up that has not passed on most loops meanwhile, if loops through another come
    /// back, and if none does.
    static let gatewayLossLimit = (others: 24, alone: 96)
    /// Milliseconds between two gateways given up, so that nobody makes an agent try them all by losing its loops.
    static let gatewayPause: UInt64 = 120_000

    /// Suspects that the next run of the agent knows.
    private static let keptLimit = 64
    private static let key = Array("suspects".utf8)

    private var loops: [Bytes16: (gateway: NodeID, mixes: [NodeID], due: Timestamp)] = [:]
    private var records: [NodeID: Record] = [:]
    /// Of all loops, whoever passed them on.
    private var whole = Record()
    /// Those whose ``Record/rate`` is too low.
    private(set) var suspects: Set<NodeID> = []
    private var gatewayLosses: [NodeID: Int] = [:]
    private var nextReplacement = Timestamp(milliseconds: 0)
    /// What is on disk.
    private var kept: Set<NodeID> = []

    init(_ store: borrowing some (KeyValueStore & ~Copyable)) throws(StorageError) {
        var rest = try store.get(AgentCore.state, RelayHealth.key)?[...] ?? []
        while let node = NodeID(rest.prefix(NodeID.count)), kept.count < RelayHealth.keptLimit {
            kept.insert(node)
            records[node] = Record(lost: RelayHealth.oldLosses.avoided)
            rest = rest.dropFirst(NodeID.count)
        }
        suspects = kept
    }

    /// Writes down whom the next run should not have to find out again.
    mutating func save(_ store: inout some (KeyValueStore & ~Copyable)) throws(StorageError) {
        let nodes = suspects.sorted().prefix(RelayHealth.keptLimit)
        guard Set(nodes) != kept else { return }
        kept = Set(nodes)
        try store.put(AgentCore.state, RelayHealth.key, nodes.flatMap(\.bytes))
    }

    /// Whether the next turn may go to a loop although requests wait.
    var isInDoubt: Bool {
        whole.passed < RelayHealth.loopsInDoubt || whole.lost > RelayHealth.lossInDoubt * (whole.passed + whole.lost)
    }

    /// - Parameter path: gateway, mixes, gateway.
    mutating func started(_ id: Bytes16, path: [NodeID], delay: UInt64, now: Timestamp) {
        guard loops.count < RelayHealth.loopLimit, let gateway = path.first else { return }
        loops[id] = (
            gateway, Array(path.dropFirst().dropLast()), now.adding(milliseconds: delay + RelayHealth.patience)
        )
    }

    /// - Returns: the gateway through which the loop went, if that passes most of them on.
    mutating func returned(_ id: Bytes16) -> NodeID? {
        guard let loop = loops.removeValue(forKey: id) else { return nil }
        whole.add(passed: 1)
        for node in [loop.gateway] + loop.mixes { note(node) { $0.add(passed: 1) } }
        // One loop in ten does not make up for the others: nobody is reached by such a gateway.
        guard !suspects.contains(loop.gateway) else { return nil }
        gatewayLosses[loop.gateway] = 0
        return loop.gateway
    }

    /// Loops through a gateway whose link is gone say nothing about their mixes.
    mutating func disconnected(_ gateway: NodeID) {
        loops = loops.filter { $0.value.gateway != gateway }
        gatewayLosses[gateway] = nil
    }

    /// The clock went back: whether those under way are late, it cannot tell.
    mutating func forgetLoops(_ now: Timestamp) {
        loops = [:]
        for node in suspects { records[node]?.lastLoss = now }
        nextReplacement = Timestamp(milliseconds: 0)
    }

    /// A gateway that has taken many loops and brought hardly any back: it counts as dead although its link stands.
    mutating func deafGateway(_ now: Timestamp) -> NodeID? {
        guard now >= nextReplacement else { return nil }
        let limit =
            gatewayLosses.values.contains(0) ? RelayHealth.gatewayLossLimit.others : RelayHealth.gatewayLossLimit.alone
        guard let worst = gatewayLosses.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), worst.value >= limit
        else { return nil }
        gatewayLosses[worst.key] = nil
        nextReplacement = now.adding(milliseconds: RelayHealth.gatewayPause)
        return worst.key
    }

    /// Counts the loops that should be back by now.
    mutating func expire(_ now: Timestamp) {
        // In an order that does not depend on the process: one loss decides how the next counts.
        let late = loops.filter { $0.value.due <= now }.sorted { ($0.value.due, $0.key) < ($1.value.due, $1.key) }
        for (id, loop) in late {
            loops[id] = nil
            gatewayLosses[loop.gateway, default: 0] += 1
            whole.add(lost: 1)
            let path = [loop.gateway] + loop.mixes
            let doubts = path.map { 1 - (records[$0] ?? Record()).rate }
            let sum = doubts.reduce(0, +)
            for (node, doubt) in zip(path, doubts) {
                note(node) {
                    $0.add(lost: doubt / sum)
                    $0.lastLoss = now
                }
            }
        }
        for node in suspects {
            guard let last = records[node]?.lastLoss else {
                records[node]?.lastLoss = now
                continue
            }
            if now.milliseconds(since: last) > RelayHealth.parole {
                note(node) { $0 = Record(lost: RelayHealth.oldLosses.paroled) }
            }
        }
    }

    private mutating func note(_ node: NodeID, _ change: (inout Record) -> Void) {
        var record = records[node] ?? Record()
        change(&record)
        records[node] = record
        if record.rate < RelayHealth.leastRate { suspects.insert(node) } else { suspects.remove(node) }
    }

    /// Forgets relays that are not on the map any more.
    mutating func keep(_ isKnown: (NodeID) -> Bool) {
        records = records.filter { isKnown($0.key) }
        suspects = suspects.filter(isKnown)
    }
}
