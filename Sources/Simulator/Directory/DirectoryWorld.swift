import Correspondence
import Directory
import Primitives
import Records
import Wire

/// Directory servers in one process, on one map, and the users whose records they hold.
final class DirectoryWorld {
    /// Six in the evening: enough of the epoch has passed for every record to have a predecessor.
    static let evening = Timestamp(seconds: 20_000 * 86_400 + 18 * 3600)

    /// Between two lookups or publications in experiments that let no time pass otherwise: servers have budgets.
    static let pause: UInt64 = 5

    let latency = RegionLatency()
    let configuration: DirectoryConfiguration
    var nodes: [SimulatedDirectory] = []
    var regions: [Int] = []
    var users: [DirectoryUser] = []
    var conspiracy = Conspiracy()
    var entropy: Entropy
    var now: Timestamp
    private(set) var indices: [NodeID: Int] = [:]
    private(set) var addresses: [SocketAddress: Int] = [:]
    /// What all agree on: the map of this epoch.
    private(set) var placement: Placement
    private(set) var listed: [Placement.Node] = []
    private(set) var directories: [NodeID] = []
    private(set) var links: Set<X25519PublicKey> = []

    // The network among servers.
    var queue = VirtualQueue<DirectoryDelivery>()
    var waiting: [UInt64: DirectoryWaiting] = [:]
    var nextToken: UInt64 = 1 << 40
    var sessions = SessionTable()
    /// Requests of the experiment itself that are not answered yet, and the answers to others.
    var expected: Set<UInt64> = []
    var answers: [UInt64: (at: Timestamp, message: DirectoryMessage)] = [:]
    /// Milliseconds there and back when all links are alike; `nil` for the latencies of regions.
    var roundTrip: UInt64?
    /// Node IDs of colluders, in ascending order, for lies in searches.
    var colluders: [NodeID] = []
    var calls = 0
    /// Bytes of calls and their answers.
    var callBytes = 0
    /// Whether liars answer before everybody else does, wherever they are.
    var liarsHurry = false { didSet { histories = [:] } }
    /// What agents of each region know of the times of answers since servers were last struck.
    var histories: [Int: AnswerTimes] = [:]
    /// An agent's view that differs from everybody's.
    var agentPlacement: Placement?
    private let start: Timestamp
    /// What routing tables are drawn from, in experiments that do not wait until servers have found each other.
    var tables: (listed: DrawnTables, strangers: DrawnTables)?
    /// Alarms that servers raised, in order.
    var alarms: [(server: Int, alarm: EclipseWatch.Alarm)] = []
    /// Kept where an experiment wants to know whether any record is ever lost.
    var ledger: CopyLedger?
    /// Records and descriptors that some server has checked.
    let checked = CheckedSignatures()
    /// Milliseconds that lookups took, added up. Time stands still for servers meanwhile: whatever is due at them happens
    /// before a lookup or after it.
    var lookupTime: UInt64 = 0

    init(
        nodes count: Int, seed: UInt64, now: Timestamp = DirectoryWorld.evening,
        configuration: DirectoryConfiguration = DirectoryConfiguration()
    ) throws(DirectoryExperimentError) {
        guard count >= 40 else { throw .tooFewNodes(needed: 40) }
        self.configuration = configuration
        self.now = now
        start = now
        entropy = Entropy(seed: seed)
        placement = Placement(nodes: [], epoch: now.epoch)
        for index in 0..<count { try add(index) }
        list(nodes)
    }

    private func add(_ index: Int, seed: UInt64? = nil) throws(DirectoryExperimentError) {
        let node = try SimulatedDirectory(
            index, configuration: configuration, now: now, seed: seed ?? entropy.uint64())
        indices[node.nodeID] = index
        addresses[node.endpoint.address] = index
        nodes.append(node)
        regions.append(latency.region(&entropy))
    }

    /// Puts these servers, and no others, on the map of all.
    func list(_ members: [SimulatedDirectory]) {
        know(members)
        let placements = [now.epoch: placement]
        for node in nodes { node.core.share(listed, placements: placements, links: links, checked: checked) }
    }

    /// The same, without a word to servers that run.
    func know(_ members: [SimulatedDirectory]) {
        listed = members.map { $0.listing }
        directories = members.map(\.nodeID)
        placement = Placement(nodes: listed, epoch: now.epoch).remembering()
        links = Set(listed.compactMap { $0.endpoint?.linkKey })
    }

    /// A server that is on no map.
    /// - Parameter seed: of its identity, if that was looked for.
    func addStranger(seed: UInt64? = nil) throws(DirectoryExperimentError) -> Int {
        let index = nodes.count
        try add(index, seed: seed)
        nodes[index].core.share(listed, placements: [now.epoch: placement], links: links, checked: checked)
        return index
    }

    /// Takes servers away that came last, and the map of all has the others.
    func removeStrangers(from first: Int) {
        for node in nodes[first...] {
            indices[node.nodeID] = nil
            addresses[node.endpoint.address] = nil
        }
        nodes.removeSubrange(first...)
        regions.removeSubrange(first...)
        list(nodes)
    }

    /// Virtual milliseconds that have passed for the network.
    var elapsed: UInt64 { now.milliseconds(since: start) }

    /// Both, for an experiment that makes lookups.
    var times: [ResultRow] {
        [.virtualTime(milliseconds: elapsed), .lookupTime(milliseconds: lookupTime)]
    }

    // MARK: Users

    /// Makes users whose record is as old as that of publishers who refresh every 8 to 12 hours, and the record before it.
    /// - Parameters:
    ///   - isEarly: the users have changed their record of late, ahead of the refresh, so that both are young.
    ///   - publishing: whether their records are published at once.
    func addUsers(
        _ count: Int, isEarly: Bool = false, publishing: Bool = true, progress: (Double) -> Void = { _ in }
    ) throws(DirectoryExperimentError) {
        let hour = 3600
        let epochStart = now.epoch * Timestamp.secondsPerEpoch
        for index in 0..<count {
            // A moment falls into a long interval more often than into a short one.
            var interval = 8 * hour + entropy.below(4 * hour)
            while entropy.below(12 * hour) > interval { interval = 8 * hour + entropy.below(4 * hour) }
            let published = now.seconds - UInt64(entropy.below(isEarly ? 4 * hour : interval))
            let before = published - UInt64(isEarly ? 1 + entropy.below(4 * hour) : 8 * hour + entropy.below(4 * hour))
            let user = try DirectoryUser(seed: entropy.uint64(), published: published, epoch: now.epoch)
            // Earlier than three hours ahead nothing is published for an epoch.
            let old = max(before, epochStart - 3 * 3600)
            conspiracy.stale[user.blindedKey] = try user.record(published: old, epoch: now.epoch).encode()
            conspiracy.foreign.append((user.blindedKey, user.record))
            if conspiracy.foreign.count > 64 { conspiracy.foreign.removeFirst() }
            if publishing { try publish(user) }
            users.append(user)
            now = now.adding(milliseconds: DirectoryWorld.pause)
            if index % 64 == 0 { progress(Double(index) / Double(count)) }
        }
    }

    /// Publishes a record with the agent's own state machine, over a path without loss.
    /// - Returns: the holders that took it.
    @discardableResult
    func publish(_ user: DirectoryUser) throws(DirectoryExperimentError) -> Int {
        var publication = Publication(
            epoch: now.epoch, record: user.record, holders: placement.holders(of: user.blindedKey), now: now)
        var time = now
        while !publication.isFinished {
            for holder in publication.due(time, queueDelay: 0) {
                guard let index = indices[holder], nodes[index].isUp else { continue }
                // A liar says that it keeps the record and does nothing.
                guard nodes[index].conduct == .honest else {
                    publication.answer(from: holder, stored: true)
                    continue
                }
                let effects = try nodes[index].handle(
                    .request(from: nil, token: 1, message: publication.request(to: holder).encode()),
                    now: now, entropy: &entropy)
                for effect in effects {
                    guard case .answer(1, let bytes) = effect else {
                        perform(effect, of: index)
                        continue
                    }
                    if let answer = try? DirectoryMessage(decoding: bytes) {
                        _ = publication.take(answer, from: holder, time)
                    }
                }
                schedule(index)
            }
            time = max(publication.nextStep, time.adding(milliseconds: 1))
        }
        return publication.stored.count
    }

    // MARK: Faults

    func revive() {
        histories = [:]
        for node in nodes {
            node.isUp = true
            node.conduct = .honest
        }
    }

    /// Makes a share of all servers liars of one kind, and then a share of the others dead.
    func strike(liars: Double, conduct: [DirectoryConduct], dead: Double) {
        revive()
        var order = Array(nodes.indices)
        entropy.shuffle(&order)
        let lying = Int(Double(order.count) * liars)
        for index in order.prefix(lying) { nodes[index].conduct = conduct[entropy.below(conduct.count)] }
        let rest = order.dropFirst(lying)
        for index in rest.prefix(Int(Double(rest.count) * dead)) { nodes[index].isUp = false }
        colluders = order.prefix(lying).map { nodes[$0].nodeID }.sorted()
    }
}

extension SimulatedDirectory {
    /// The server as placement knows it.
    var listing: Placement.Node {
        Placement.Node(id: nodeID, cluster: cluster, prefix: endpoint.address.prefix, endpoint: endpoint)
    }
}
