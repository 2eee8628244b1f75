import Directory
import Primitives
import Records
import Storage
import Wire

/// Learning what places servers in an epoch, before records of it are looked up or published.
extension AgentCore {
    /// A lookup that waits for the epoch's value.
    enum AwaitedLookup: Sendable {
        case user(NetworkID)
        case name(NameQuery)
    }

    /// Lookups that wait for the epoch's value.
    static let waitingLimit = 1024
    /// Milliseconds after which a request that waits for something else is given up.
    static let patience: UInt64 = 600_000

    /// The shared random values that were made and are known, by epoch: the map draws by them too.
    public var sharedValues: [UInt64: Bytes32] { shared.values.compactMapValues(\.bytes) }

    func isPlacementKnown(_ now: Timestamp) -> Bool { shared.isReady(now.epoch) }

    mutating func advanceShared(
        _ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard !network.servers.isEmpty else { return }
        let wait = configuration.lookup.waveTimeout + queueDelay(SharedSample<SharedValue?>.lead)
        let network = network
        let step = shared.step(clusters: { network.directories }, wait: wait, now: now, entropy: &entropy)
        for server in step?.servers ?? [] {
            let epoch = step?.epoch ?? now.epoch
            enqueue(
                .service(
                    .directory, destination: server, body: DirectoryMessage.askShared(epoch: epoch).encode(),
                    reply: .shared(epoch: epoch, server: server)))
        }
        switch try shared.conclude(now, &store) {
        case .none: break
        case .unknown: counters.unknownValues += 1
        case .known(let epoch, let value):
            // What was published or looked up by the stand-in lies elsewhere.
            if value != .standIn, shared.provisional.contains(epoch) {
                if epoch == now.epoch { settings.nextPublish = now }
                if epoch == ahead.epoch, ahead.isPublished { ahead.repeated(at: now) }
            }
            self.network.place(shared.values)
            if let bytes = value.bytes { effects.append(.sharedValue(epoch: epoch, bytes)) }
        }
        guard isPlacementKnown(now), !waitingForPlacement.isEmpty else { return }
        let waiting = waitingForPlacement
        waitingForPlacement = []
        for (lookup, request, _) in waiting {
            switch lookup {
            case .user(let id): try resolve(id, request, now, &entropy, &effects, &store)
            case .name(let query): resolveName(query, request, now, &entropy, &effects)
            }
        }
    }

    /// Who looks somebody up waits until records of this epoch can be placed.
    mutating func awaitPlacement(
        _ lookup: AwaitedLookup, _ request: UInt64, _ now: Timestamp, _ effects: inout [AgentEffect]
    ) {
        guard waitingForPlacement.count < AgentCore.waitingLimit else {
            return effects.append(.failed(request: request, .noAnswer(asked: 0)))
        }
        waitingForPlacement.append((lookup, request, now))
    }

    /// Answers requests that have waited for too long for what has to come before they can begin, or end.
    mutating func giveUpWaiting(_ now: Timestamp, _ effects: inout [AgentEffect]) {
        let isOver = { (since: Timestamp) in now.milliseconds(since: since) >= AgentCore.patience }
        let requests =
            waitingForPlacement.filter { isOver($0.since) }.map(\.request)
            + awaitingPublication.filter { isOver($0.started) }.map(\.request)
        waitingForPlacement.removeAll { isOver($0.since) }
        awaitingPublication.removeAll { isOver($0.started) }
        for request in requests { effects.append(.failed(request: request, .noAnswer(asked: 0))) }
    }

    mutating func sharedAnswered(_ epoch: UInt64, by server: NodeID, _ answer: DirectoryMessage) {
        guard case .shared(let answer) = answer else { return shared.answered(epoch, by: server, nil) }
        shared.answered(epoch, by: server, answer)
    }
}
