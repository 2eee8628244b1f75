import Primitives
import Records
import Storage
import Wire

/// What a ``MapCore`` keeps of measurements. The statements themselves are in the store.
struct CapacityState: Sendable {
    struct Link: Sendable {
        /// Statements that the other side has not been told of; the last is told first.
        var news: [UInt64]
        var messages = MapCore.capacityMessages
        /// What the other side has and somebody else was asked for; it is asked when that one keeps silent.
        var offers: Set<UInt64> = []
    }

    var places = StatementIndex()
    var links: [UInt64: Link] = [:]
    /// Statements that were asked for, and when to ask another for them.
    var asked: [UInt64: Timestamp] = [:]
    /// Weights from the statements of the epoch before `epoch`.
    var weights: (epoch: UInt64, values: RelayWeights)?
    var isDirty = true
    var nextWeighing: Timestamp
    /// When a large map tells of new statements again.
    var nextNews = Timestamp(milliseconds: 0)
    /// The last epoch for which this server has been told whom to measure.
    var measured: UInt64 = 0
}

/// Capacity: who measures whom, what was measured, and what it weighs (specs/map.md, "Capacity").
extension MapCore {
    static let capacityTable = Table("capacity")
    /// Seconds of an epoch between which servers measure. What they state at the end has five hours to spread.
    static let measuring = UInt64(3600)...UInt64(68_400)
    /// Milliseconds between two looks at changed statements.
    private static let weighInterval: UInt64 = 60_000

    // MARK: Time

    mutating func wakeCapacity(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try wakeStatements(now, &entropy, &effects, &store)
        assign(now, &effects)
        try weigh(now, &effects, &store)
    }

    /// Tells the driver whom this server is to measure, once an epoch: the cluster's server with the lowest node ID.
    private mutating func assign(_ now: Timestamp, _ effects: inout [MapEffect]) {
        guard let certificate = snapshots.signer?.certificate, capacity.measured != now.epoch else { return }
        let second = now.seconds % Timestamp.secondsPerEpoch
        guard MapCore.measuring.contains(second) else { return }
        // A map that has just been started does not know yet whom there is to measure.
        guard now >= snapshots.started.adding(seconds: MapCore.settleTime) else { return }
        capacity.measured = now.epoch
        let stated = StatementIndex.Place(epoch: now.epoch, cluster: certificate.clusterID)
        guard !capacity.places.contains(stated) else { return }
        let own = Node.id(of: certificate.serverID)
        let siblings = currentServers(of: certificate.clusterID, at: now)
        guard let first = siblings.first, first.bytes == Array(own.bytes.prefix(16)) else { return }
        let targets = book(now.epoch, now).targets(of: certificate.clusterID)
        let end = Timestamp(seconds: now.epoch * Timestamp.secondsPerEpoch + MapCore.measuring.upperBound)
        if !targets.isEmpty { effects.append(.measure(epoch: now.epoch, targets: targets, until: end)) }
    }

    func book(_ epoch: UInt64, _ now: Timestamp) -> CapacityBook {
        let table = currentTable(at: now)
        var relays: [CapacityBook.Relay] = []
        relays.reserveCapacity(table.count)
        for place in 0..<table.count {
            guard let server = table.glance(at: place), server.roles.contains(.relay) else { continue }
            relays.append(CapacityBook.Relay(node: server.nodeID, cluster: server.clusterID))
        }
        return CapacityBook(
            relays: relays, families: MapView.families(of: eachCluster),
            seed: seed(epoch))
    }

    /// Makes weights of the last epoch's statements; again when more of them came.
    private mutating func weigh(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let isNew = capacity.weights?.epoch != now.epoch
        guard now.epoch > 0, isNew || (capacity.isDirty && now >= capacity.nextWeighing) else { return }
        capacity.isDirty = false
        capacity.nextWeighing = now.adding(milliseconds: MapCore.weighInterval)
        var reports: [VerifyingKey: [UInt64: UInt8]] = [:]
        for cluster in capacity.places.clusters(now.epoch - 1) {
            let place = StatementIndex.Place(epoch: now.epoch - 1, cluster: cluster)
            guard let bytes = try store.get(MapCore.capacityTable, MapCore.key(place)),
                let statement = try? CapacityStatement(decoding: bytes)
            else { continue }
            reports[cluster] = Dictionary(
                statement.entries.map { ($0.relay, $0.step) }, uniquingKeysWith: min)
        }
        let values = reports.isEmpty ? RelayWeights() : book(now.epoch - 1, now).weights { reports[$0] }
        let isOther = capacity.weights?.values != values
        capacity.weights = (now.epoch, values)
        if isOther { effects.append(.viewChanged) }
    }

    // MARK: Own statement

    /// Signs and spreads what this server measured: once an epoch, and not again after a restart.
    mutating func state(
        _ epoch: UInt64, _ results: [NodeID: UInt8], _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let signer = snapshots.signer, !results.isEmpty, epoch == now.epoch else { return }
        let place = StatementIndex.Place(epoch: epoch, cluster: signer.certificate.clusterID)
        guard !capacity.places.contains(place) else { return }
        let statement = CapacityStatement(
            epoch: epoch, results: results, server: signer.certificate.serverID, sign: signer.sign)
        try keep(statement.encode(), place, from: nil, &store)
    }
}
