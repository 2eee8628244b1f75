import Directory
import Envelope
import Primitives
import Records
import Storage
import Wire

/// Publishing the own record, resolving others.
extension AgentCore {
    /// Before the next epoch begins, its record is published this much ahead, in seconds (design section 5).
    static let publishAhead: UInt64 = 3 * 3600

    // MARK: Publishing

    mutating func advancePublications(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if settings.isRegistered, now >= settings.nextPublish, !network.servers.isEmpty, canPublish(now) {
            try refreshNames(try startPublishing(now, &entropy, &store), now, &store)
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

    /// - Returns: the epochs that records are published for.
    private mutating func startPublishing(
        _ now: Timestamp, _ entropy: inout Entropy, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt64] {
        let homes = settings.listed
        guard let first = homes.first, let account = first.account else { return [] }
        let second = homes.dropFirst().first.flatMap { home in
            home.account.map { RecordBody.Home(node: home.node, account: $0) }
        }
        // Between 8 and 12 hours, and in time for the next epoch.
        let refresh = now.adding(seconds: 8 * 3600 + UInt64(entropy.below(4 * 3600)))
        let nextEpoch = Timestamp(seconds: (now.epoch + 1) * Timestamp.secondsPerEpoch - AgentCore.publishAhead)
        settings.nextPublish = nextEpoch > now ? min(refresh, nextEpoch) : refresh
        settings.sequence = max(settings.sequence &+ 1, now.seconds)
        var epochs = [now.epoch]
        if nextEpoch <= now { epochs.append(now.epoch + 1) }
        for epoch in epochs {
            let expiry = DirectoryRecord.expiry(ofEpoch: epoch)
            let sequence = SequenceBase(user: identity.user.publicKey, epoch: epoch).sequence(at: settings.sequence)
            do {
                let body = RecordBody(
                    home: first.node, account: account, second: second, serial: identity.serial,
                    sealing: identity.sealing.publicKey, operational: identity.operational.publicKey,
                    operationalExpiry: now.seconds + RecordBody.operationalLifetime,
                    policy: RecordBody.openPolicy, prekeys: Bytes32(), user: identity.user)
                let record = try DirectoryRecord.seal(
                    body: body, user: identity.user, epoch: epoch, sequence: sequence, entropy: &entropy)
                for home in homes { settings.update(home.node) { $0.listedUntil = max($0.listedUntil, expiry) } }
                publications[epoch] = Publication(
                    epoch: epoch, record: record.encode(), sequence: sequence, number: settings.sequence,
                    homes: homes.map(\.node), holders: network.holders(of: record.blindedKey, epoch: epoch), now: now)
            } catch {
                counters.unbuildable += 1
            }
        }
        try settings.save(&store)
        return epochs
    }

    mutating func published(
        _ answer: DirectoryMessage, epoch: UInt64, holder: NodeID, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
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
        if publication.isSufficient { try days.finished(publication.epoch, &store) }
        guard publication.epoch == now.epoch else {
            if publication.isFinished, !publication.isSufficient {
                settings.nextPublish = min(settings.nextPublish, now.adding(seconds: 60))
            }
            return
        }
        if publication.isSufficient {
            try handOver(to: publication.homes, now, &store)
            if settings.publishedSequence != publication.number {
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
        guard isPlacementKnown(now) else { return awaitPlacement(.user(id), request, &effects) }
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
