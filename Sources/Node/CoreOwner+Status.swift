import Directory
import Federation
import FoundationEssentials
import Home
import LMDB
import Logging
import Primitives
import Records
import Storage
import Wire

/// What the operator may see: sums since the start, never per user or key.
extension CoreOwner {
    /// A file of membership as `{"membership": BASE64}`, or `{"refused": REASON}`.
    func membership(of question: String) -> [UInt8] {
        do throws(MembershipRefusal) {
            let file = try map.membership(of: question, at: .now()).encode()
            return NodeRuntime.encode(["membership": Data(file)])
        } catch { return NodeRuntime.encode(["refused": error]) }
    }

    func fill(_ status: inout NodeStatus) {
        let now = Timestamp.now()
        status.map = .init(
            clusters: map.clusterTotal, servers: map.currentTotal(at: now),
            usableClusters: CoreOwner.clusters(of: map.usableTable(at: now)).count,
            neededClusters: MapView.pathClusters, linkedServers: news.links.linked,
            wireVersion: Int(map.configuration.highestVersion), links: [:], snapshot: map.snapshotReport(at: now))
        status.server.copy = copies.last.map {
            .init(
                address: "\($0.address)", secondsAgo: now.milliseconds(since: $0.noticed) / 1000, count: $0.count)
        }
        status.map.siblings = map.siblings(at: now).map {
            .init(server: $0.nodeID.hex, address: "\($0.tcp)", certifiedUntil: $0.certificate.expiry)
        }
        for (version, count) in map.linkVersions { status.map.links["\(version)"] = count }
        var rows: [(account: Bytes16, items: Int, replyBlocks: Int)] = []
        var records = 0
        do throws(StorageError) {
            try environment.read { (transaction: inout LMDBTransaction) throws(StorageError) in
                rows = try HomeCore.accounts(transaction)
                records = try DirectoryCore.recordCount(transaction)
            }
        } catch {
            logger.error("status: \(error)")
        }
        status.home = .init(
            accounts: rows.prefix(1000).map(\.account.hex), accountsTotal: rows.count,
            items: rows.reduce(0) { $0 + $1.items },
            replyBlocks: rows.reduce(0) { $0 + $1.replyBlocks })
        status.directory = .init(
            records: records, contacts: directory.contactCount, requests: directory.counters.requests,
            sharedRandom: sharedRandomStatus(at: now), view: viewStatus(at: now))
        status.counters.merge(sums) { _, new in new }
        status.store.usedBytes = environment.usedBytes
        status.store.sizeBytes = environment.mapSize
        status.store.trouble = refusal.trouble(now)
        status.store.unpublished = publications.count
    }

    private func viewStatus(at now: Timestamp) -> NodeStatus.View {
        let trust = directory.viewTrust
        let sources = trust.counts.map { source, count in
            (CoreOwner.name(source), NodeStatus.View.Source(named: count.named, answered: count.answered))
        }
        return NodeStatus.View(
            isTrusted: trust.isReached, sources: Dictionary(sources) { first, _ in first }, unrelated: trust.unrelated,
            alarms: directory.standingAlarms(at: now).map { alarm, left in
                .init(kind: alarm.kind.rawValue, detail: alarm.detail, secondsLeft: left / 1000)
            })
    }

    private static func name(_ source: BootstrapSource) -> String {
        switch source {
        case .anchors: "lastRun"
        case .bundled: "bootstrapList"
        case .invitation: "addedPeers"
        case .manual: "knownServers"
        }
    }

    /// Everything that the cores count.
    private var sums: [String: UInt64] {
        let sets: [any CounterSet] = [
            home.counters, directory.counters, directory.random.counters, endpoint.counters,
        ]
        return sets.reduce(into: map.sums) { sums, set in sums.merge(set.sums) { _, new in new } }
    }
}

/// How the epoch's value is made, for the operator.
extension CoreOwner {
    static func log(_ report: SharedRandomReport, _ logger: Logger) {
        switch report {
        case .agreed(let epoch, let votes, let participants):
            logger.info(
                "the shared random value is agreed on",
                metadata: ["epoch": "\(epoch)", "votes": "\(votes)", "participants": "\(participants)"])
        case .withheld(let epoch, let clusters):
            logger.warning(
                "clusters committed to secrets for the shared random value and did not show them, or committed twice",
                metadata: ["epoch": "\(epoch)", "clusters": "\(names(clusters))"])
        case .failed(let epoch, let failure):
            logger.warning(
                "no agreement on the shared random value: it follows from the last one, which everybody can compute",
                metadata: ["epoch": "\(epoch)", "reason": "\(reason(failure))"])
        case .equivocated(let evidence):
            logger.warning(
                "a cluster signed two statements on the shared random value; both are kept",
                metadata: ["epoch": "\(evidence.epoch)", "cluster": "\(evidence.clusterID.bytes.hex)"])
        }
    }

    private static func names(_ clusters: [VerifyingKey]) -> String {
        clusters.map(\.bytes.hex).joined(separator: ", ")
    }

    private static func reason(_ failure: SharedRandom.Failure) -> String {
        switch failure {
        case .tooFew: "fewer than \(SharedRandom.least) clusters take part"
        case .withheld(let clusters): "withheld by " + names(clusters)
        case .disagreement: "fewer than two thirds signed one value"
        }
    }

    /// What places servers today and tomorrow.
    func sharedRandomStatus(at now: Timestamp) -> NodeStatus.SharedRandom {
        let random = directory.random
        return .init(
            today: CoreOwner.name(random.values[now.epoch]), next: CoreOwner.name(random.values[now.epoch + 1]),
            participants: random.round?.participants.count ?? 0, withheld: random.withholders.map(\.bytes.hex),
            isAlarmed: random.counters.fallbacks > 0)
    }

    private static func name(_ value: SharedValue?) -> String {
        switch value {
        case .value(let bytes): bytes.hex
        case .standIn: "stand-in"
        case nil: "unknown"
        }
    }
}
