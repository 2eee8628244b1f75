import Directory
import Federation
import Home
import LMDB
import Logging
import Primitives
import Records
import Storage
import Wire

/// What the operator may see: sums since the start, never per user or key.
extension CoreOwner {
    func mapGraph(matching question: String) -> MapGraph { map.graph(matching: question) }

    func fill(_ status: inout NodeStatus) {
        let now = Timestamp.now()
        status.map = .init(
            clusters: map.clusterTotal, servers: map.currentTotal(at: now),
            wireVersion: Int(map.configuration.highestVersion), links: [:])
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
            accounts: rows.prefix(1000).map(\.account.hex), items: rows.reduce(0) { $0 + $1.items },
            replyBlocks: rows.reduce(0) { $0 + $1.replyBlocks })
        status.directory = .init(
            records: records, contacts: directory.contactCount, requests: directory.counters.requests,
            sharedRandom: sharedRandomStatus(at: now))
        status.counters.merge(homeCounters()) { _, new in new }
        status.counters.merge(networkCounters()) { _, new in new }
        status.store = .init(usedBytes: environment.usedBytes, sizeBytes: environment.mapSize)
    }

    func homeCounters() -> [String: UInt64] {
        let counters = home.counters
        return [
            "home.registrations": counters.registrations, "home.accepted": counters.accepted,
            "home.duplicates": counters.duplicates, "home.items.sent": counters.itemsSent,
            "home.acknowledged": counters.acknowledged, "home.malformed": counters.malformed,
            "home.unknown_account": counters.unknownAccount, "home.wrong_signature": counters.wrongSignature,
            "home.replayed": counters.replayed, "home.full": counters.full, "home.damaged": counters.damaged,
            "home.taken_over": counters.takenOver, "home.closed": counters.closed,
            "home.superseded": counters.superseded, "home.names.signed": counters.namesSigned,
            "home.names.refused": counters.namesRefused, "home.clock_turns": counters.clockTurns,
        ]
    }

    func networkCounters() -> [String: UInt64] {
        let directory = directory.counters
        let datagrams = endpoint.counters
        let random = self.directory.random.counters
        let sums = [
            "directory.hits": directory.hits, "directory.misses": directory.misses,
            "directory.stored": directory.stored, "directory.malformed": directory.malformed,
            "directory.unsupported": directory.unsupported,
            "directory.wrong_signature": directory.wrongSignature, "directory.not_newer": directory.notNewer,
            "directory.not_responsible": directory.notResponsible, "directory.repairs": directory.repairs,
            "directory.compared": directory.compared, "directory.puts_repeated": directory.putsRepeated,
            "directory.alarms": directory.alarms, "directory.over_rate": directory.overRate,
            "directory.over_quota": directory.overQuota, "directory.below_floor": directory.belowFloor,
            "directory.forged_answers": directory.forgedAnswers, "directory.misleading": directory.misleading,
            "directory.self_named": directory.selfNamed, "directory.refused_contacts": directory.refusedContacts,
            "directory.named_skipped": directory.namedSkipped,
            "directory.wrong_epoch": directory.wrongEpoch,
            "directory.puzzles_demanded": directory.puzzlesDemanded,
            "directory.puzzles_accepted": directory.puzzlesAccepted,
            "directory.puzzles_outdated": directory.puzzlesOutdated,
            "directory.puzzles_unchallenged": directory.puzzlesUnchallenged,
            "directory.silent_holders": directory.silentHolders, "directory.signed_misses": directory.signedMisses,
            "directory.clock_turns": directory.clockTurns,
            "datagram.handshakes": datagrams.handshakes, "datagram.malformed": datagrams.malformed,
            "datagram.unauthenticated": datagrams.unauthenticated, "datagram.replayed": datagrams.replayed,
            "datagram.cookies": datagrams.cookiesSent, "datagram.overloaded": datagrams.overloaded,
            "datagram.over_prefix": datagrams.overPrefix,
            "shared.agreed": random.agreed, "shared.fallbacks": random.fallbacks,
            "shared.adopted": random.adopted, "shared.withheld": random.withheld,
            "shared.equivocations": random.equivocations, "shared.refused": random.refused,
            "shared.flooded": random.flooded,
        ]
        return sums.merging(map.sums) { _, new in new }
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
