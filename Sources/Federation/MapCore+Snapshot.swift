import Primitives
import Records
import Storage
import Wire

/// Snapshots of each epoch: taking and signing the own one, passing on others', and comparing them.
extension MapCore {
    static let rootTable = Table("roots")
    /// Seconds after an epoch's start until snapshots are taken, so that what was published before has arrived.
    static let settleTime: UInt64 = 600
    /// Seconds by which each further server of a cluster waits for those before it to speak for the cluster.
    static let rankDelay: UInt64 = 60
    /// Milliseconds between two rounds of asking.
    private static let askInterval: UInt64 = 60_000

    public var snapshotCounters: SnapshotCounters { snapshots.counters }
    /// What the comparison of this epoch's snapshots has come to, once it has begun.
    public var snapshotVerdict: SnapshotComparison.Verdict? { snapshots.verdict }
    /// The own snapshot of an epoch, if this core was running when it was taken.
    public func ownSnapshot(_ epoch: UInt64) -> SnapshotComparison.Statement? {
        snapshots.own?.epoch == epoch ? snapshots.own?.statement : nil
    }

    /// Lets this core sign snapshot roots in its cluster's name.
    public mutating func setSigner(_ signer: CertifiedSigner) { snapshots.signer = signer }

    /// The roots held of an epoch, by cluster.
    public func roots(_ epoch: UInt64) -> [SnapshotRoot] { snapshots.book.roots(epoch) }

    /// The snapshot of an epoch as the map gives it now.
    func snapshot(_ epoch: UInt64, at now: Timestamp) -> SnapshotTree {
        SnapshotTree(epoch: epoch, servers: currentServers(at: now))
    }

    // MARK: Time

    mutating func wakeSnapshots(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for (link, budget) in snapshots.links {
            let answers = max(budget.answers, SnapshotState.answersPerInterval)
            snapshots.links[link] = SnapshotState.Budget(answers: answers, asks: 1)
        }
        if !clock.isOnTrial(now) { try forgetRoots(now, &store) }
        takeSnapshot(now)
        try signSnapshot(now, &effects, &store)
        compare(now, &entropy, &effects)
        guard now >= snapshots.nextAsk else { return }
        snapshots.nextAsk = now.adding(milliseconds: MapCore.askInterval)
        for link in peers.keys.sorted() { ask(link, now, &effects) }
    }

    private func settled(_ now: Timestamp) -> Bool {
        now.seconds % Timestamp.secondsPerEpoch >= MapCore.settleTime
    }

    /// Takes the own snapshot once an epoch. A core that was started within the epoch has not seen what the others saw
    /// when it began, and takes none.
    private mutating func takeSnapshot(_ now: Timestamp) {
        guard snapshots.started.epoch < now.epoch, snapshots.own?.epoch != now.epoch, settled(now) else { return }
        let tree = snapshot(now.epoch, at: now)
        let statement = tree.root.map {
            SnapshotComparison.Statement(root: $0, count: UInt32(truncatingIfNeeded: tree.leaves.count))
        }
        snapshots.own = (now.epoch, statement, configuration.isAgent ? [] : tree.levels.first ?? [])
        admission.beginEpoch()
    }

    /// Signs the own snapshot, unless a server of the own cluster has spoken already: a cluster speaks once.
    private mutating func signSnapshot(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let signer = snapshots.signer, let own = ownSnapshot(now.epoch) else { return }
        let certificate = signer.certificate
        guard speakers(now.epoch).speaking.contains(certificate.clusterID) else { return }
        guard snapshots.book[now.epoch, certificate.clusterID] == nil else { return }
        // Whoever has signed by a clock that was ahead of the epoch keeps silent in it.
        guard try !hasSigned(now.epoch, certificate, store) else { return }
        let siblings = currentServers(of: certificate.clusterID, at: now)
        // Identifiers of servers are the beginnings of node IDs, so they have the same order.
        let place = Bytes16(Node.id(of: certificate.serverID).bytes.prefix(16)) ?? Bytes16()
        guard siblings.contains(place) else { return }
        let rank = UInt64(siblings.count(where: { $0 < place }))
        guard now.seconds % Timestamp.secondsPerEpoch >= MapCore.settleTime + rank * MapCore.rankDelay else { return }
        let root: SnapshotRoot
        do throws(SnapshotError) {
            root = try SnapshotRoot(
                epoch: now.epoch, root: own.root, count: own.count, certificate: certificate, sign: signer.sign)
            try root.verify()
        } catch { return }
        snapshots.counters.signed += 1
        try enter(root, from: nil, &effects, &store)
    }

    private func hasSigned(
        _ epoch: UInt64, _ certificate: ServerCertificate, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        let own = MapCore.key(epoch, certificate)
        var isFound = false
        try store.scan(MapCore.rootTable, from: own) { key, _ in
            isFound = key.starts(with: own)
            return false
        }
        return isFound
    }

    private mutating func forgetRoots(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let oldest = SnapshotRoot.oldestEpoch(at: now)
        var old: [[UInt8]] = []
        try store.scan(MapCore.rootTable, from: []) { key, _ in
            guard MapCore.epoch(key) < oldest else { return false }
            old.append(key)
            return true
        }
        for key in old { try store.delete(MapCore.rootTable, key) }
        for (digest, _) in snapshots.book.elements where digest.sequence >> RootBook.numberBits < oldest {
            sketches.toggleRoot(digest)
        }
        snapshots.book.forget(before: oldest)
    }

    /// Who speaks in an epoch: drawn with the epoch's shared random value, or with nothing but the epoch while the
    /// driver has handed in none.
    private mutating func speakers(_ epoch: UInt64) -> SpeakerList {
        if let known = snapshots.speakers[epoch] { return known }
        let list = SpeakerList(
            epoch: epoch, value: snapshots.values[epoch] ?? Bytes32(), clusters: admission.admitted)
        if snapshots.speakers.count >= MapCore.keptEpochs { snapshots.speakers = [:] }
        snapshots.speakers[epoch] = list
        return list
    }

    /// Takes the shared random value of an epoch: speakers, layers and measurers follow from it.
    mutating func setSharedRandom(_ value: Bytes32, epoch: UInt64, _ effects: inout [MapEffect]) {
        guard snapshots.values[epoch] != value else { return }
        if snapshots.values.count >= MapCore.keptEpochs, let oldest = snapshots.values.keys.min() {
            snapshots.values[oldest] = nil
        }
        snapshots.values[epoch] = value
        snapshots.speakers = [:]
        capacity.isDirty = true
        effects.append(.viewChanged)
    }

    // MARK: Messages

    mutating func linkUpSnapshots(_ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect]) {
        snapshots.links[link] = SnapshotState.Budget()
        ask(link, now, &effects)
    }

    mutating func linkDownSnapshots(_ link: UInt64) { snapshots.links[link] = nil }

    /// Asks a node for the roots that are missing: an agent for those of its sample, a node for all. Nodes of version 2
    /// compare roots with the rest of the map.
    private mutating func ask(_ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect]) {
        guard let peer = peers[link], !peer.isAgent else { return }
        guard configuration.isAgent || peer.version == MapVersion.first else { return }
        let message: RootMessage
        if configuration.isAgent {
            let names = (snapshots.comparison?.missing ?? []).map { MapCore.name($0) }.sorted()
            guard !names.isEmpty else { return }
            message = .ask(epoch: now.epoch, checksum: 0, clusters: names)
        } else {
            message = .ask(epoch: now.epoch, checksum: snapshots.book.checksum(now.epoch), clusters: [])
        }
        sendDescriptor(link, message.encode(), &effects)
    }

    mutating func receiveRoots(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let message: RootMessage
        do throws(WireError) { message = try RootMessage(decoding: bytes) } catch {
            snapshots.counters.malformed += 1
            return
        }
        switch message {
        case .root(let bytes): try learnRoot(bytes, link, now, &effects, &store)
        case .ask(let epoch, let checksum, let clusters):
            answer(epoch, checksum, clusters, link, &entropy, &effects)
        }
    }

    private mutating func answer(
        _ epoch: UInt64, _ checksum: UInt64, _ clusters: [Bytes16], _ link: UInt64, _ entropy: inout Entropy,
        _ effects: inout [MapEffect]
    ) {
        guard !configuration.isAgent else { return }
        guard var budget = snapshots.links[link], budget.asks > 0 else {
            counters.flooded += 1
            return
        }
        budget.asks -= 1
        var roots: [SnapshotRoot] = []
        if !clusters.isEmpty {
            let wanted = Set(clusters)
            roots = snapshots.book.roots(epoch).filter { wanted.contains(MapCore.name($0.clusterID)) }
        } else if snapshots.book.checksum(epoch) != checksum {
            roots = snapshots.book.roots(epoch)
            // Begins anywhere, so that a limit does not starve the same ones each time.
            let start = entropy.below(roots.count)
            roots = Array(roots[start...] + roots[..<start])
        }
        for root in roots.prefix(budget.answers) {
            guard sendDescriptor(link, RootMessage.root(root.encode()).encode(), &effects) else { break }
            budget.answers -= 1
        }
        snapshots.links[link] = budget
    }

    mutating func learnRoot(
        _ bytes: [UInt8], _ link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard mayTell(link) else { return }
        guard let root = judgeRoot(bytes, link, now) else { return }
        snapshots.counters.learned += 1
        try enter(root, from: link, &effects, &store)
    }

    /// The root if it is new and valid; otherwise counts why not. The cheap checks come first, signatures last.
    /// - Parameter link: over which it came; `nil` for an answer in an envelope.
    mutating func judgeRoot(_ bytes: [UInt8], _ link: UInt64?, _ now: Timestamp) -> SnapshotRoot? {
        do throws(SnapshotError) {
            let root = try SnapshotRoot(decoding: bytes)
            try root.checkEpoch(at: now)
            guard admission.admits(root.clusterID) else {
                snapshots.counters.notAdmitted += 1
                return nil
            }
            guard speakers(root.epoch).taken.contains(root.clusterID) else {
                snapshots.counters.unasked += 1
                return nil
            }
            if case .known = snapshots.book.standing(of: root) {
                snapshots.counters.duplicates += 1
                return nil
            }
            try root.verify()
            return root
        } catch {
            countRefusal(error, link)
            return nil
        }
    }

    private mutating func countRefusal(_ error: SnapshotError, _ link: UInt64?) {
        switch error {
        case .malformed: snapshots.counters.malformed += 1
        case .epochFarOff: snapshots.counters.farOff += 1
        case .wrongSignature, .wrongCertificate, .certificateOver, .foreignKey:
            snapshots.counters.forged += 1
            if let link { peers[link]?.shares.receives -= configuration.forgeryCost }
        }
    }

    /// Takes in a valid root that is not yet known, keeps what it contradicts as evidence, and passes it on.
    mutating func enter(
        _ root: SnapshotRoot, from link: UInt64?, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let bytes = root.encode()
        try store.put(MapCore.rootTable, MapCore.key(root), bytes)
        if case .contradicts(let earlier) = snapshots.book.standing(of: root) {
            snapshots.counters.contradicting += 1
            snapshots.found = try? EquivocationEvidence(earlier, root)
            try keepEvidence(&effects, &store)
        }
        for digest in snapshots.book.add(root) { sketches.toggleRoot(digest) }
        if snapshots.comparison?.epoch == root.epoch {
            _ = snapshots.comparison?.add(root)
            reportVerdict(&effects)
        }
        _ = agreement.earlier?.add(root)
        guard !configuration.isAgent else { return }
        let message = RootMessage.root(bytes).encode()
        for other in peers.keys.sorted() where other != link {
            guard let peer = peers[other], !peer.isAgent, peer.version != 0 else { continue }
            if !peer.speaksTwo {
                sendDescriptor(other, message, &effects)
            } else if isSmall {
                sendItem(.root(bytes), other)
            }
        }
    }

    // MARK: Comparison

    /// Begins the epoch's comparison when the clusters have had time to speak.
    private mutating func compare(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        let start = 2 * MapCore.settleTime
        guard snapshots.comparison?.epoch != now.epoch, now.seconds % Timestamp.secondsPerEpoch >= start else { return }
        let clusters = voters(now.epoch, at: now)
        guard !clusters.isEmpty else { return }
        var comparison = SnapshotComparison(
            epoch: now.epoch, own: ownSnapshot(now.epoch), clusters: clusters, entropy: &entropy)
        for root in snapshots.book.roots(now.epoch) { _ = comparison.add(root) }
        snapshots.comparison = comparison
        snapshots.verdict = nil
        reportVerdict(&effects)
    }

    /// Whom a sample is drawn from: the admitted clusters but the own one, each with the least prefix of its servers.
    mutating func voters(_ epoch: UInt64, at now: Timestamp) -> [VerifyingKey: UInt32] {
        var clusters: [VerifyingKey: UInt32] = [:]
        let speaking = speakers(epoch).speaking
        let table = currentTable(at: now)
        for place in 0..<table.count {
            guard let glance = table.glance(at: place), speaking.contains(glance.clusterID) else { continue }
            clusters[glance.clusterID] = min(glance.udpNetwork, clusters[glance.clusterID] ?? .max)
        }
        // The own view cannot confirm itself.
        if let own = snapshots.signer?.certificate.clusterID { clusters[own] = nil }
        return clusters
    }

    private mutating func reportVerdict(_ effects: inout [MapEffect]) {
        guard let comparison = snapshots.comparison else { return }
        let verdict = comparison.verdict
        guard verdict != snapshots.verdict else { return }
        snapshots.verdict = verdict
        if case .undecided = verdict { return }
        effects.append(.snapshotVerdict(epoch: comparison.epoch, verdict))
    }

    // MARK: Store

    /// Epoch as big-endian `u64`, so that keys sort by it, ‖ ClusterID ‖ ServerID ‖ first 16 bytes of the root.
    private static func key(_ root: SnapshotRoot) -> [UInt8] {
        key(root.epoch, root.certificate) + root.root.bytes.prefix(16)
    }

    /// What the keys of all roots by a server for an epoch begin with.
    private static func key(_ epoch: UInt64, _ certificate: ServerCertificate) -> [UInt8] {
        withUnsafeBytes(of: epoch.bigEndian) { Array($0) } + certificate.clusterID.bytes.bytes
            + certificate.serverID.bytes.bytes
    }

    /// Epochs of which shared random values and speakers are kept.
    private static let keptEpochs = 4
    /// Roots that are read at the start: two of each cluster that may speak, of two epochs, and as many outdated ones, which
    /// are deleted.
    private static let restoredRoots = 16 * SpeakerList.takenLimit

    /// A cluster's identifier, as in the gossip of descriptors.
    static func name(_ cluster: VerifyingKey) -> Bytes16 {
        Bytes16(BLAKE2b.h(Domain("hulda/cluster-id"), cluster.bytes).bytes.prefix(16)) ?? Bytes16()
    }

    /// Roots of an earlier run. They were verified before they were written.
    mutating func restoreRoots(
        _ now: Timestamp, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        var found: [[UInt8]] = []
        let limit = MapCore.restoredRoots
        try store.scan(MapCore.rootTable, from: []) { _, value in
            found.append(value)
            return found.count < limit
        }
        for bytes in found {
            // What is too old is forgotten, in the store too, at the first wake.
            guard let root = try? SnapshotRoot(decoding: bytes), !root.isAhead(of: now) else { continue }
            if case .known = snapshots.book.standing(of: root) { continue }
            _ = snapshots.book.add(root)
        }
    }
}
