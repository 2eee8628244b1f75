import Primitives
import Records
import Storage
import Wire

/// What a server learns from others: who takes part, and values that it did not see made.
extension SharedRandomCore {
    /// Seconds into the epoch.
    var listDue: UInt64 { SharedRandomCore.listTime + jitter }
    var lateDue: UInt64 { SharedRandom.voteEnd + SharedRandomCore.lateTime + jitter }

    /// What it does not know and should by now.
    func question(_ now: Timestamp) -> Question? {
        let seconds = now.seconds % Timestamp.secondsPerEpoch
        if values[today] == nil { return .value(epoch: today) }
        if list == nil, seconds >= listDue, seconds < SharedRandom.voteEnd { return .participants(epoch: today + 1) }
        if values[today + 1] == nil, seconds >= lateDue { return .value(epoch: today + 1) }
        return nil
    }

    func sample(_ question: Question, _ entropy: inout Entropy) -> Sampling {
        let ownCluster = signer?.certificate.clusterID
        var clusters: [VerifyingKey: [NodeID]] = [:]
        for node in nodes where node.cluster != ownCluster { clusters[node.cluster, default: []].append(node.id) }
        switch question {
        case .value(let epoch): return .value(epoch: epoch, SharedSample(clusters: clusters, entropy: &entropy))
        case .participants(let epoch):
            return .participants(epoch: epoch, SharedSample(clusters: clusters, entropy: &entropy))
        }
    }

    mutating func heard(_ node: NodeID, _ answer: SharedAnswer) {
        switch sampling {
        case .value(let epoch, var sample) where epoch == answer.epoch:
            sample.answered(node, answer.value)
            sampling = .value(epoch: epoch, sample)
        case .participants(let epoch, var sample) where epoch == answer.epoch:
            sample.answered(node, answer.participants)
            sampling = .participants(epoch: epoch, sample)
        default: break
        }
    }

    static func without(_ node: NodeID, _ sampling: Sampling) -> Sampling {
        switch sampling {
        case .value(let epoch, var sample):
            sample.failed(node)
            return .value(epoch: epoch, sample)
        case .participants(let epoch, var sample):
            sample.failed(node)
            return .participants(epoch: epoch, sample)
        }
    }

    mutating func advanceSample(
        _ now: Timestamp, _ effects: inout [Effect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch sampling {
        case .value(let epoch, var sample):
            for node in sample.next() { effects.append(.ask(node, epoch: epoch)) }
            sampling = .value(epoch: epoch, sample)
            switch sample.verdict {
            case .open: return
            case .decided(let value?) where value.bytes != failure?.value || epoch != today + 1:
                counters.adopted += 1
                try decide(epoch, value, &effects, &store)
            case .decided, .split:
                guard !sample.isUnheard else { return askLater(now) }
                try decideAlone(epoch, &effects, &store)
            }
            sampling = nil
        case .participants(let epoch, var sample):
            for node in sample.next() { effects.append(.ask(node, epoch: epoch)) }
            sampling = .participants(epoch: epoch, sample)
            switch sample.verdict {
            case .open: return
            case .decided(let names?) where names != ownList:
                counters.adopted += 1
                list = names
            case .decided, .split:
                guard !sample.isUnheard else { return askLater(now) }
                list = ownList ?? []
            }
            sampling = nil
            if let list { try SharedRandomStore.put(list, epoch, &store) }
        case nil: return
        }
    }

    private mutating func askLater(_ now: Timestamp) {
        sampling = nil
        nextSample = now.adding(seconds: SharedRandomCore.retry)
    }

    mutating func decide(
        _ epoch: UInt64, _ value: SharedValue, _ effects: inout [Effect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try SharedRandomStore.put(value, epoch, &store)
        values[epoch] = value
        effects.append(.value(epoch: epoch, value))
    }

    /// Nobody knows a value: it follows from the last one, if there ever was one.
    private mutating func decideAlone(
        _ epoch: UInt64, _ effects: inout [Effect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if epoch == today + 1, let failure, !(failure.reason == .tooFew && values[today] == .standIn) {
            counters.fallbacks += 1
            if case .withheld(let clusters) = failure.reason { withholders = clusters }
            effects.append(.report(.failed(epoch: epoch, failure.reason)))
            return try decide(epoch, .value(failure.value), &effects, &store)
        }
        let known = try SharedRandomStore.values(store).filter { $0.key < epoch }.max { $0.key < $1.key }
        guard let known, var value = known.value.bytes, epoch - known.key <= SharedRandomCore.chainLimit else {
            return try decide(epoch, .standIn, &effects, &store)
        }
        for step in known.key + 1...epoch { value = SharedRandom.fallback(previous: value, epoch: step) }
        counters.fallbacks += 1
        try decide(epoch, .value(value), &effects, &store)
    }
}
