import Primitives
import Records
import Storage
import Wire

/// The directory's part of shared random values: carrying questions, and moving records when a value comes late.
extension DirectoryCore {
    mutating func randomise(
        _ event: SharedRandomCore.Event, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [DirectoryEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for effect in try random.handle(event, now: now, entropy: &entropy, store: &store) {
            switch effect {
            case .send(let link, let frame): effects.append(.send(link: link, frame))
            case .report(let report): effects.append(.sharedRandom(report))
            case .value(let epoch, let value):
                place(epoch, by: value, now)
                if let bytes = value.bytes { effects.append(.sharedValue(epoch: epoch, bytes)) }
            case .ask(let node, let epoch):
                guard calls.count < configuration.callLimit, let endpoint = placement(now.epoch).node(node)?.endpoint
                else {
                    try randomise(.failed(node), now, &entropy, &effects, &store)
                    continue
                }
                call(.shared(node), endpoint, .askShared(epoch: epoch), now, &effects)
            }
        }
    }

    /// The shared random values that were made for the epoch of `now`, the one before and the one after, as far as they are
    /// known: what a map is told after a start, before ``DirectoryEffect/sharedValue(epoch:_:)`` tells of later ones.
    public func recentValues(at now: Timestamp) -> [(epoch: UInt64, value: Bytes32)] {
        random.values.filter { $0.key + 1 >= now.epoch }.sorted { $0.key < $1.key }
            .compactMap { epoch, value in value.bytes.map { (epoch, $0) } }
    }

    /// Records of an epoch that are here already were placed by what was known before.
    private mutating func place(_ epoch: UInt64, by value: SharedValue, _ now: Timestamp) {
        guard value != .standIn else { return }
        if placements[epoch] != nil {
            viewChanges(now)
            placements[epoch] = nil
        }
        placementVersion += 1
    }
}
