import Directory
import Envelope
import Primitives
import Records
import Storage
import Wire

/// Publishing the own record, resolving others.
extension AgentCore {
    // MARK: Publishing

    mutating func advancePublications(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try beginEpoch(now, &entropy, &store)
        if settings.isRegistered, !network.servers.isEmpty {
            if now >= settings.nextPublish {
                try publishToday(now, &entropy, &store)
            } else if let due = ahead.due, now >= due, shared.isReady(ahead.epoch) {
                try publishAhead(now, &entropy, &store)
            }
        }
        for epoch in publications.keys.sorted() {
            guard var publication = publications[epoch] else { continue }
            for holder in publication.due(now, queueDelay: queueDelay(publication.asked)) {
                enqueue(
                    .service(
                        .directory, destination: holder,
                        body: publication.request(to: holder).encode(),
                        reply: .publish(epoch: epoch, holder: holder)))
            }
            publications[epoch] = publication.isFinished ? nil : publication
            try publicationAdvanced(publication, now, &effects, &store)
        }
    }

    /// Draws when tomorrow's record is published. What was published yesterday for today is today's record now.
    private mutating func beginEpoch(
        _ now: Timestamp, _ entropy: inout Entropy, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let last = ahead
        guard ahead.plan(now, &entropy) else { return }
        try ahead.save(&store)
        guard settings.isRegistered else { return }
        let isToday = last.epoch == now.epoch && last.isPublished && last.due == nil && last.isConfirmed
        settings.nextPublish = isToday ? last.refresh : min(settings.nextPublish, now)
        try settings.save(&store)
    }

    private mutating func publishToday(
        _ now: Timestamp, _ entropy: inout Entropy, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let content = recordContent else { return }
        settings.nextPublish = AgentCore.nextRefresh(now, &entropy)
        settings.sequence = max(settings.sequence &+ 1, now.seconds)
        try startPublishing(now.epoch, number: settings.sequence, now, &entropy, &store)
        try settings.save(&store)
        ahead.follow(content, now, &entropy)
        try ahead.save(&store)
    }

    private mutating func publishAhead(
        _ now: Timestamp, _ entropy: inout Entropy, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let content = recordContent else { return }
        ahead.published(content, refresh: AgentCore.nextRefresh(now, &entropy))
        try startPublishing(ahead.epoch, number: 0, now, &entropy, &store)
        try settings.save(&store)
        try ahead.save(&store)
    }

    /// Between 8 and 12 hours, in milliseconds, so that agents that began together do not stay together.
    private static func nextRefresh(_ now: Timestamp, _ entropy: inout Entropy) -> Timestamp {
        now.adding(milliseconds: 8 * 3_600_000 + UInt64(entropy.below(4 * 3_600_000)))
    }

    /// Stands for all that a record says now; `nil` when there is no home to name.
    private var recordContent: Bytes32? {
        var writer = Writer(capacity: 168)
        for home in settings.listed {
            guard let account = home.account else { continue }
            writer.fixed(home.node)
            writer.fixed(account)
        }
        guard !writer.bytes.isEmpty else { return nil }
        writer.uint64(identity.serial)
        writer.fixed(identity.operational.publicKey.bytes)
        writer.fixed(identity.sealing.publicKey.bytes)
        return BLAKE2b.h(Domain("hulda/rec-said"), writer.bytes)
    }

    private mutating func startPublishing(
        _ epoch: UInt64, number: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let homes = settings.listed
        guard let first = homes.first, let account = first.account else { return }
        let second = homes.dropFirst().first.flatMap { home in
            home.account.map { RecordBody.Home(node: home.node, account: $0) }
        }
        // What others have published shows before this record replaces it.
        let asked: Set<NodeID> =
            ownRecords.hasPublished ? askForOwnRecord(epoch, perRing: 1, asCover: false, &entropy) : []
        let published = ownRecords.next(epoch, now)
        do {
            let body = RecordBody(
                home: first.node, account: account, second: second, serial: identity.serial,
                sealing: identity.sealing.publicKey, operational: identity.operational.publicKey,
                operationalExpiry: now.seconds + RecordBody.operationalLifetime, policy: RecordBody.openPolicy,
                prekeys: Bytes32(), user: identity.user)
            let base = SequenceBase(user: identity.user.publicKey, epoch: epoch)
            let record = try DirectoryRecord.seal(
                body: body, user: identity.user, epoch: epoch, sequence: base.sequence(at: published),
                entropy: &entropy)
            for home in homes { settings.update(home.node) { $0.listedUntil = max($0.listedUntil, record.expiry) } }
            let holders = network.holders(of: record.blindedKey, epoch: epoch)
            publications[epoch] = Publication(
                epoch: epoch, record: record.encode(), sequence: record.sequence, number: number,
                homes: homes.map(\.node),
                // Who was asked is sent the record last, so that the question comes before it.
                holders: holders.filter { !asked.contains($0) } + holders.filter { asked.contains($0) }, now: now)
        } catch {
            counters.unbuildable += 1
        }
        ownRecords.published(epoch, second: published)
        try ownRecords.save(&store)
        refreshNames([epoch], now)
    }

    /// The last epoch for which a record was made.
    func recordsThrough(_ now: Timestamp) -> UInt64 { ahead.isPublished ? max(ahead.epoch, now.epoch) : now.epoch }

    mutating func published(
        _ answer: DirectoryMessage, epoch: UInt64, holder: NodeID, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        // Holders keep the higher sequence: one that says so may have a record that is not this agent's.
        if case .refused(.notNewer) = answer, epoch == now.epoch { followSign(now, &entropy) }
        guard var publication = publications[epoch] else { return }
        guard publication.take(answer, from: holder, now) else {
            counters.malformedAnswers += 1
            return
        }
        publications[epoch] = publication.isFinished ? nil : publication
        try publicationAdvanced(publication, now, &effects, &store)
    }

    private mutating func publicationAdvanced(
        _ publication: Publication, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard publication.epoch == now.epoch else {
            guard publication.epoch == ahead.epoch else { return }
            if publication.isSufficient, !ahead.isConfirmed {
                ahead.confirmed()
                try ahead.save(&store)
            } else if publication.isFinished, !publication.isSufficient {
                ahead.repeated(at: now.adding(seconds: 60))
                try ahead.save(&store)
            }
            return
        }
        if publication.isSufficient {
            try handOver(to: publication.homes, now, &store)
            if publication.number > settings.publishedSequence {
                settings.publishedSequence = publication.number
                try settings.save(&store)
            }
            tellPublished(publication, now, &effects)
        } else if publication.isFinished {
            // Too few holders took it: tried again soon, and after the next start.
            settings.nextPublish = now.adding(seconds: 60)
            try settings.save(&store)
            for waiting in awaitingPublication {
                effects.append(.failed(request: waiting.request, .noAnswer(asked: publication.asked)))
            }
            awaitingPublication = []
        }
    }

    /// Tells whoever waits for this record; who changed something after it was made waits for the next one.
    private mutating func tellPublished(_ publication: Publication, _ now: Timestamp, _ effects: inout [AgentEffect]) {
        let due = awaitingPublication.filter { $0.isMet(by: publication) }
        awaitingPublication.removeAll { $0.isMet(by: publication) }
        for waiting in due {
            switch waiting.change {
            case .removed: effects.append(.homeRemoved(request: waiting.request))
            case .rotated: effects.append(.rotated(request: waiting.request, serial: identity.serial))
            case .opened(let home):
                effects.append(
                    .registered(
                        request: waiting.request,
                        RegistrationReport(
                            account: settings.home(home)?.account ?? Bytes16(), home: home,
                            holders: publication.stored.count, asked: publication.asked,
                            milliseconds: now.milliseconds(since: waiting.started))))
            }
        }
    }

    // MARK: Resolving

    mutating func resolve(
        _ id: NetworkID, _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard isPlacementKnown(now) else { return awaitPlacement(.user(id), request, now, &effects) }
        if let error = startLookup(id, now, &entropy) {
            effects.append(.failed(request: request, error))
            return
        }
        lookups[id]?.requests.append(request)
    }

    /// Starts a lookup unless one is under way.
    mutating func startLookup(_ id: NetworkID, _ now: Timestamp, _ entropy: inout Entropy) -> AgentError? {
        guard lookups[id] == nil else { return nil }
        guard lookups.count < configuration.lookupLimit else {
            return .tooManyLookups(limit: configuration.lookupLimit)
        }
        let user: BlindedID
        do { user = try BlindedID(id, epoch: now.epoch) } catch { return .invalidID }
        let rings = network.rings(of: user.key, epoch: now.epoch)
        let directories = network.servers.filter { $0.roles.contains(.directory) }.map(\.nodeID)
        guard !directories.isEmpty else { return .mapTooSmall(clusters: network.clusterCount) }
        lookups[id] = Lookup(
            user: user, serialFloor: serials.floor(of: id), rings: rings, directories: directories, now: now,
            entropy: &entropy)
        return nil
    }

    mutating func advanceLookups(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for id in lookups.keys.sorted(by: { $0.key < $1.key }) {
            while var lookup = lookups[id] {
                let habits = configuration.lookup
                let step = lookup.step(habits, now: now, queueDelay: queueDelay(habits.freshAnswers))
                lookups[id] = lookup
                switch step {
                case .wait: break
                case .ask(let holders):
                    for holder in holders {
                        ask(holder, .get(key: lookup.blindedKey, epoch: lookup.epoch), .lookup(id, holder: holder))
                    }
                    continue
                case .askFallback(let servers):
                    for server in servers {
                        ask(server, .iterate(key: lookup.blindedKey, epoch: lookup.epoch), .fallback(id))
                    }
                    continue
                case .found(let record, let body):
                    lookups[id] = nil
                    try serials.note(body.serial, of: id, &store)
                    contacts[id] = KnownContact(record: record, body: body, fetched: now)
                    let report = ResolveReport(
                        id: id, body: body, sequence: record.sequence, expiry: record.expiry, asked: lookup.asked.count,
                        answered: lookup.answered, waves: lookup.waves, usedFallback: lookup.usedFallback,
                        milliseconds: now.milliseconds(since: lookup.started), pathLength: configuration.mixes + 2)
                    for request in lookup.requests { effects.append(.resolved(request: request, report)) }
                    try advanceOutbox(now, &entropy, &effects, &store)
                case .failed(let failure):
                    let error = AgentError(failure)
                    lookups[id] = nil
                    for request in lookup.requests { effects.append(.failed(request: request, error)) }
                    let waiting = outbox.open.values.filter { $0.recipient == id && $0.nextAttempt <= now }
                    for message in waiting.sorted(by: { $0.number < $1.number }) {
                        if message.state == .queued {
                            effects.append(.unresolved(messageID: message.messageID, error))
                        }
                        try postpone(message.messageID, now, &store)
                    }
                }
                break
            }
        }
    }

    mutating func ask(_ server: NodeID, _ message: DirectoryMessage, _ purpose: ReplyPurpose) {
        enqueue(.service(.directory, destination: server, body: message.encode(), reply: purpose))
    }

    /// - Parameter holder: whom the request was sealed to; `nil` for a server that searched on the agent's behalf.
    mutating func lookupAnswered(
        _ id: NetworkID, from holder: NodeID?, _ answer: DirectoryMessage, _ now: Timestamp
    ) {
        guard let reading = lookups[id]?.read(answer, from: holder, now: now) else { return }
        var found: (record: DirectoryRecord, body: RecordBody)?
        switch reading {
        case .record(let record, let body): found = (record, body)
        case .missing: break
        case .invalid: counters.invalidRecords += 1
        case .malformed: counters.malformedAnswers += 1
        }
        lookups[id]?.take(found, from: holder, now: now, grace: configuration.lookup.waveGrace)
    }
}
