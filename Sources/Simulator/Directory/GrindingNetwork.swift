import Directory
import Primitives
import Records
import Storage
import Wire

/// Clusters that make shared random values with the real ``SharedRandomCore``, over links with a delay and through whole
/// virtual days, and others that collude: a ``Grinder`` speaks for those.
final class GrindingNetwork {
    /// An honest cluster of one server.
    private final class Member {
        let id: NodeID
        var core: SharedRandomCore
        var store: MemoryStore
        /// Honest servers that it has links with.
        var peers: [Int] = []
        var armed: UInt64?
        var reports: [SharedRandomReport] = []
        /// Those that it had found when the last day ended.
        var contradictions: UInt64 = 0

        init(_ id: NodeID, _ core: SharedRandomCore, _ store: MemoryStore) {
            self.id = id
            self.core = core
            self.store = store
        }
    }

    private enum Content {
        case event(SharedRandomCore.Event)
        case ask(from: Int, epoch: UInt64)
        case wake
    }

    /// What the honest servers saw of a day.
    struct Day {
        var epoch: UInt64
        /// What each of them takes for the value of the day after.
        var values: Set<SharedValue?>
        var isFallback: Bool
        /// Alarms: no agreement, and contradictions.
        var isAlarmed: Bool
        var isProven: Bool
        /// Whether servers named whoever committed and is not in the value.
        var isNamed: Bool
    }

    /// One link of each honest server leads to the attackers.
    private static let attackersLink: UInt64 = 1 << 20
    /// For how many epochs all have been on the map.
    private static let age: UInt64 = 16
    /// Milliseconds on a link, at least and at most.
    private static let delays = 20...150

    private(set) var now = Timestamp(seconds: 20_000 * Timestamp.secondsPerEpoch)
    private(set) var entropy: Entropy
    private var honest: [Member] = []
    private var queue = VirtualQueue<(to: Int, content: Content)>()
    let attackers: [CertifiedSigner]
    /// Secrets that honest servers have shown today, as the attackers hear them.
    private(set) var shown: [VerifyingKey: Bytes32] = [:]

    /// - Parameters:
    ///   - share: how many of all collude.
    ///   - seats: how many of those that take part at first do.
    init(_ count: Int, attackers share: Int, seats: Int, seed: UInt64) throws(DirectoryExperimentError) {
        var entropy = Entropy(seed: seed)
        let start = now
        let signers = (0..<count).map { _ in GrindingNetwork.signer(start, &entropy) }
        attackers = Array(signers.prefix(share))
        self.entropy = entropy
        let clusters = signers.map(\.certificate.clusterID)
        let elders = clusters.prefix(seats) + clusters.dropFirst(share).prefix(SharedRandom.most - seats)
        let nodes = signers.enumerated().map { index, signer in
            Placement.Node(
                id: Node.id(of: signer.certificate.serverID), cluster: signer.certificate.clusterID,
                prefix: [10, UInt8(truncatingIfNeeded: index)])
        }
        do throws(StorageError) {
            for index in share..<count { honest.append(try member(signers[index], Set(elders), Set(clusters))) }
            for index in honest.indices {
                try handle(index, .map(nodes))
                for step in [1, 2, honest.count / 2] { try join(index, (index + step) % honest.count) }
                try handle(index, .linkUp(GrindingNetwork.attackersLink))
            }
        } catch { throw .storage(error) }
    }

    private static func signer(_ now: Timestamp, _ entropy: inout Entropy) -> CertifiedSigner {
        let cluster = SigningKey(&entropy)
        let server = SharedKey(SigningKey(&entropy))
        let certificate = ServerCertificate(
            server: server.publicKey, expiry: now.seconds + 3650 * Timestamp.secondsPerEpoch, cluster: cluster)
        return CertifiedSigner(certificate: certificate) { server.sign($0) }
    }

    /// - Parameter elders: those who were on the map before all others.
    private func member(
        _ signer: CertifiedSigner, _ elders: Set<VerifyingKey>, _ all: Set<VerifyingKey>
    ) throws(StorageError) -> Member {
        let id = Node.id(of: signer.certificate.serverID)
        var store = MemoryStore()
        let first = now.epoch - GrindingNetwork.age
        try SharedRandomCore.remember(elders, in: first..<first + 1, &store)
        try SharedRandomCore.remember(all, in: first + 1..<now.epoch, &store)
        let member = Member(id, try SharedRandomCore(own: id, now: now, store: store), store)
        member.core.signer = signer
        return member
    }

    private func join(_ left: Int, _ right: Int) throws(StorageError) {
        guard left != right, !honest[left].peers.contains(right) else { return }
        honest[left].peers.append(right)
        honest[right].peers.append(left)
        try handle(left, .linkUp(UInt64(right)))
        try handle(right, .linkUp(UInt64(left)))
    }

    // MARK: What attackers see and do

    var honestCount: Int { honest.count }
    var today: UInt64 { now.epoch }

    /// Names of the clusters that make the next value.
    var participants: [Bytes16] { honest.first?.core.round?.participants ?? [] }

    /// Today's value.
    var previous: Bytes32 {
        honest.first?.core.values[today]?.resolved(epoch: today) ?? Bytes32()
    }

    /// Sends a message over the attackers' links to some of the honest servers, at once.
    func tell(_ message: SharedRandom.Message) { tell(SharedRandom.Witnessed(message), to: honest.indices) }

    func tell(_ message: SharedRandom.Message, to some: Range<Int>) { tell(SharedRandom.Witnessed(message), to: some) }

    func tell(_ version: SharedRandom.Witnessed, to some: Range<Int>) {
        let frame = [SharedRandomCore.messageKind] + version.encode()
        for index in some {
            push(now.milliseconds, index, .event(.message(link: GrindingNetwork.attackersLink, frame)))
        }
    }

    private func hear(_ frame: [UInt8]) {
        guard frame.first == SharedRandomCore.messageKind,
            case .reveal(let cluster, let epoch, let secret)? = try? SharedRandom.Witnessed(
                decoding: Array(frame.dropFirst())
            ).message, epoch == today + 1
        else { return }
        shown[cluster] = secret
    }

    // MARK: Time

    /// Lets time pass until so many milliseconds of today are over.
    func run(toMillisecond moment: UInt64) throws(DirectoryExperimentError) {
        let end = now.epoch * Timestamp.secondsPerEpoch * 1000 + moment
        do throws(StorageError) {
            while let due = queue.next, due <= end, let (_, event) = queue.pop() {
                now = Timestamp(milliseconds: max(now.milliseconds, due))
                try perform(event.content, of: event.to)
            }
        } catch { throw .storage(error) }
        now = Timestamp(milliseconds: end)
    }

    /// Lets the day end.
    func endDay() throws(DirectoryExperimentError) -> Day {
        try run(toMillisecond: (Timestamp.secondsPerEpoch - 60) * 1000)
        let epoch = today + 1
        var day = Day(
            epoch: epoch, values: Set(honest.map { $0.core.values[epoch] }), isFallback: false, isAlarmed: false,
            isProven: false, isNamed: false)
        let fallback = SharedRandom.fallback(previous: previous, epoch: epoch)
        day.isFallback = day.values.contains(.value(fallback))
        for index in honest.indices {
            for report in honest[index].reports {
                switch report {
                case .failed(_, let reason):
                    day.isAlarmed = true
                    if case .withheld(let clusters) = reason, !clusters.isEmpty { day.isNamed = true }
                case .withheld: day.isNamed = true
                case .agreed, .equivocated: break
                }
            }
            honest[index].reports = []
            // Reported are the first of each cluster.
            let contradictions = honest[index].core.counters.equivocations
            day.isProven = day.isProven || contradictions > honest[index].contradictions
            honest[index].contradictions = contradictions
        }
        try run(toMillisecond: Timestamp.secondsPerEpoch * 1000)
        shown = [:]
        return day
    }

    private func perform(_ content: Content, of index: Int) throws(StorageError) {
        switch content {
        case .event(let event): try handle(index, event)
        case .ask(let from, let epoch):
            let answer = honest[index].core.answer(epoch)
            push(later(), from, .event(.answer(honest[index].id, answer)))
        case .wake:
            honest[index].armed = nil
            if let wake = honest[index].core.nextWake, wake <= now {
                try handle(index, .wake)
            } else {
                arm(index)
            }
        }
    }

    private func handle(_ index: Int, _ event: SharedRandomCore.Event) throws(StorageError) {
        let member = honest[index]
        let effects = try member.core.handle(event, now: now, entropy: &entropy, store: &member.store)
        for effect in effects { perform(effect, of: index) }
        arm(index)
    }

    private func arm(_ index: Int) {
        guard let wake = honest[index].core.nextWake?.milliseconds, honest[index].armed.map({ wake < $0 }) ?? true
        else { return }
        honest[index].armed = wake
        push(wake, index, .wake)
    }

    private func perform(_ effect: SharedRandomCore.Effect, of index: Int) {
        switch effect {
        case .send(GrindingNetwork.attackersLink, let frame): hear(frame)
        case .send(let link, let frame):
            guard let to = Int(exactly: link) else { return }
            push(later(), to, .event(.message(link: UInt64(index), frame)))
        case .ask(let node, let epoch):
            // Attackers answer nobody.
            guard let to = honest.firstIndex(where: { $0.id == node }) else {
                return push(now.milliseconds + 1500, index, .event(.failed(node)))
            }
            push(later(), to, .ask(from: index, epoch: epoch))
        case .value: break
        case .report(let report): honest[index].reports.append(report)
        }
    }

    private func later() -> UInt64 {
        let delays = GrindingNetwork.delays
        return now.milliseconds + UInt64(delays.lowerBound + entropy.below(delays.count))
    }

    private func push(_ due: UInt64, _ to: Int, _ content: Content) { queue.push((to, content), due: due) }
}
