import Federation
import Primitives
import Records
import Storage
import Wire

/// Some real map cores, each with the whole of a large map, linked at random under virtual time; changes come in from
/// outside at any rate.
///
/// A network of 10⁵ nodes does not fit into a machine with a whole map each. What a node sends and receives depends on
/// the changes that there are to learn and on how often it compares, not on how many others do the same; how long a
/// change takes to reach all grows with the logarithm of their number.
struct MapWorld: ~Copyable {
    /// Bytes of a stream frame, whatever is in it (specs/wire.md).
    static let frameSize = 2631
    /// Milliseconds from one end of a link to the other, at most.
    private static let latency = 150
    /// The link over which changes come in, the same number at every core.
    private static let outside: UInt64 = 0

    private enum Event {
        case wake(Int)
        case message(to: Int, link: UInt64, [UInt8])
    }

    /// What went over links between cores.
    struct Traffic: Sendable {
        var frames = 0
        var bytes = 0
    }

    private(set) var cores: [MapCore]
    private(set) var now = MapPopulation.start
    private(set) var traffic = Traffic()
    /// When a change came in, by server and sequence; how many cores have it, and when the last of them got it.
    private var spreading: [NodeID: (since: Timestamp, sequence: UInt64, cores: Int)] = [:]
    private(set) var spreadSeconds = RankedSample()
    /// Statements that came in.
    private var stated: Set<[UInt8]> = []
    private var links: [UInt64: (Int, Int)] = [:]
    /// When the last message of each direction of a link arrives.
    private var arrivals: [UInt64: UInt64] = [:]
    private var queue = VirtualQueue<Event>()
    private var store = PopulationStore()
    private var entropy: Entropy

    var waiting: Int { spreading.count }

    /// - Parameter whole: the map that each begins with.
    init(cores count: Int, of whole: MapCore, seed: UInt64) throws(StorageError) {
        cores = [MapCore](repeating: whole, count: count)
        entropy = Entropy(seed: seed)
        for core in cores.indices {
            try handle(.linkUp(link: MapWorld.outside, peer: Bytes32()), core)
            // Speaks no version, so it is told nothing.
            try handle(.message(link: MapWorld.outside, [6, 255, 255] + [UInt8](repeating: 0, count: 16)), core)
            queue.push(.wake(core), due: now.milliseconds + UInt64(entropy.below(5000)))
        }
    }

    /// Links each core to `degree` others, drawn at random.
    mutating func connect(degree: Int) throws(StorageError) {
        for left in cores.indices {
            for _ in 0..<min(degree, cores.count - 1) {
                let right = (left + 1 + entropy.below(cores.count - 1)) % cores.count
                let link = UInt64(links.count) + 1
                links[link] = (left, right)
                try handle(.linkUp(link: link, peer: Bytes32()), left)
                try handle(.linkUp(link: link, peer: Bytes32()), right)
            }
        }
    }

    mutating func forgetTraffic() {
        traffic = Traffic()
        spreadSeconds = RankedSample()
    }

    /// Tells one core of a server's new descriptor.
    mutating func change(_ server: ServerDescriptor, at core: Int) throws(StorageError) {
        spreading[server.nodeID] = (now, server.sequence, 0)
        try handle(.message(link: MapWorld.outside, [3] + server.encode()), core)
    }

    mutating func speak(_ root: SnapshotRoot, at core: Int) throws(StorageError) {
        try handle(.message(link: MapWorld.outside, [4] + root.encode()), core)
    }

    /// Tells one core what a cluster measured.
    mutating func state(_ statement: [UInt8], at core: Int) throws(StorageError) {
        let size = statement.count
        stated.insert(statement)
        try handle(
            .message(
                link: MapWorld.outside,
                [26, 1, UInt8(truncatingIfNeeded: size), UInt8(truncatingIfNeeded: size >> 8)] + statement),
            core)
    }

    /// Statements that have reached every core: each for itself, for cores may have as many and not the same.
    var statementsEverywhere: Int {
        stated.count { statement in cores.allSatisfy { $0.holds(statement: statement) } }
    }

    /// Lets time pass, at most until every change has reached every core if `untilSpread`.
    mutating func run(milliseconds: UInt64, untilSpread: Bool = false) throws(StorageError) {
        let end = now.adding(milliseconds: milliseconds)
        while let due = queue.next, due <= end.milliseconds, let event = queue.pop() {
            now = Timestamp(milliseconds: max(now.milliseconds, event.due))
            switch event.element {
            case .message(let core, let link, let body): try handle(.message(link: link, body), core)
            case .wake(let core):
                try handle(.wake, core)
                let next = cores[core].nextWake?.milliseconds ?? now.milliseconds + 1000
                queue.push(.wake(core), due: max(next, now.milliseconds + 1))
            }
            if untilSpread, spreading.isEmpty { return }
        }
        now = end
    }

    private mutating func handle(_ event: MapEvent, _ core: Int) throws(StorageError) {
        for effect in try cores[core].handle(event, now: now, entropy: &entropy, store: &store) {
            switch effect {
            case .send(let link, let body):
                guard let (left, right) = links[link] else { continue }
                traffic.frames += 1
                traffic.bytes += body.count
                let other = core == left ? right : left
                // Links are streams: nothing overtakes.
                let end = link << 1 | (core == left ? 0 : 1)
                let due = max(
                    now.milliseconds + 5 + UInt64(entropy.below(MapWorld.latency)), arrivals[end, default: 0])
                arrivals[end] = due
                queue.push(.message(to: other, link: link, body), due: due)
            case .learned(let server): spread(server)
            case .learnedCluster, .lost, .evidence, .snapshotVerdict, .viewChanged, .inquire, .measure, .compared,
                .copied:
                break
            }
        }
    }

    private mutating func spread(_ server: ServerDescriptor) {
        guard var change = spreading[server.nodeID], change.sequence == server.sequence else { return }
        change.cores += 1
        spreading[server.nodeID] = change.cores < cores.count ? change : nil
        if change.cores == cores.count {
            spreadSeconds.add(Double(now.milliseconds(since: change.since)) / 1000)
        }
    }
}
