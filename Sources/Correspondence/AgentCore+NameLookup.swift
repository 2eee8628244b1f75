import Directory
import Primitives
import Records
import Storage
import Wire

/// Resolving friendly addresses of others, and keeping to whom they led the first time.
extension AgentCore {
    static let pins = Table("pins")
    /// Names that are remembered; of more, every resolution counts as the first.
    static let pinLimit = 100_000

    mutating func resolveName(
        _ query: NameQuery, _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect]
    ) {
        guard isPlacementKnown(now) else { return awaitPlacement(.name(query), request, now, &effects) }
        let label = query.secret.label
        if nameLookups[label]?.query == query {
            nameLookups[label]?.requests.append(request)
            return
        }
        guard nameLookups.count < configuration.lookupLimit else {
            return effects.append(.failed(request: request, .tooManyLookups(limit: configuration.lookupLimit)))
        }
        let directories = network.servers.filter { $0.roles.contains(.directory) }.map(\.nodeID)
        guard nameLookups[label] == nil, !directories.isEmpty,
            let key = try? query.secret.blindedKey(epoch: now.epoch)
        else {
            effects.append(.failed(request: request, .mapTooSmall(clusters: network.clusterCount)))
            return
        }
        let secret = query.secret
        let lookup = Lookup<NameRecord.Target>(
            blindedKey: key, sequences: secret.sequences(epoch: now.epoch),
            rings: network.rings(of: key, epoch: now.epoch), directories: directories, now: now, entropy: &entropy
        ) { record, _ throws(RecordError) in try NameRecord.open(record, secret) }
        nameLookups[label] = NameLookup(query: query, lookup: lookup, requests: [request])
    }

    mutating func nameLookupAnswered(
        _ label: Bytes32, from holder: NodeID?, _ answer: DirectoryMessage, _ now: Timestamp
    ) {
        guard let reading = nameLookups[label]?.lookup.read(answer, from: holder, now: now) else { return }
        var found: (record: DirectoryRecord, body: NameRecord.Target)?
        switch reading {
        case .record(let record, let target): found = (record, target)
        case .missing: break
        case .invalid: counters.invalidRecords += 1
        case .malformed: counters.malformedAnswers += 1
        }
        nameLookups[label]?.lookup.take(found, from: holder, now: now, grace: configuration.lookup.waveGrace)
    }

    mutating func advanceNameLookups(
        _ now: Timestamp, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for label in nameLookups.keys.sorted() {
            while var current = nameLookups[label] {
                let habits = configuration.lookup
                let step = current.lookup.step(habits, now: now, queueDelay: queueDelay(habits.freshAnswers))
                nameLookups[label] = current
                let (key, epoch) = (current.lookup.blindedKey, current.lookup.epoch)
                switch step {
                case .wait: break
                case .ask(let holders):
                    for holder in holders {
                        ask(holder, .get(key: key, epoch: epoch), .nameLookup(label: label, holder: holder))
                    }
                    continue
                case .askFallback(let servers):
                    for server in servers {
                        ask(server, .iterate(key: key, epoch: epoch), .nameLookup(label: label, holder: nil))
                    }
                    continue
                case .found(_, .released):
                    nameLookups[label] = nil
                    let error = AgentError.notFound(asked: current.lookup.asked.count, missing: 0)
                    for request in current.requests { effects.append(.failed(request: request, error)) }
                case .found(_, .user(let id)):
                    nameLookups[label] = nil
                    let report = try report(id, current, now, &store)
                    for request in current.requests { effects.append(.nameResolved(request: request, report)) }
                case .failed(let failure):
                    nameLookups[label] = nil
                    for request in current.requests { effects.append(.failed(request: request, AgentError(failure))) }
                }
                break
            }
        }
    }

    /// The ID that a name led to, for a name that leads nowhere now: its owner has left the home that gave it.
    public static func rememberedID(
        of name: String, at cluster: VerifyingKey, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> NetworkID? {
        try store.get(pins, pinKey(name, cluster)).flatMap { Bytes32($0) }.map { NetworkID(key: VerifyingKey($0)) }
    }

    private static func pinKey(_ name: String, _ cluster: VerifyingKey) -> [UInt8] {
        cluster.bytes.bytes + Array(name.utf8)
    }

    /// The first ID that a name leads to is the one that is expected later.
    private func report(
        _ id: NetworkID, _ lookup: NameLookup, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> NameReport {
        let (name, cluster) = (lookup.query.name, lookup.query.cluster)
        let known = try AgentCore.rememberedID(of: name, at: cluster, store)
        let hasRoom = try store.count(AgentCore.pins) < AgentCore.pinLimit
        if known == nil ? hasRoom : lookup.query.accepts {
            try store.put(AgentCore.pins, AgentCore.pinKey(name, cluster), id.key.bytes.bytes)
        }
        return NameReport(
            id: id, isNew: known == nil, expected: known == id || lookup.query.accepts ? nil : known,
            asked: lookup.lookup.asked.count, milliseconds: now.milliseconds(since: lookup.lookup.started))
    }
}
