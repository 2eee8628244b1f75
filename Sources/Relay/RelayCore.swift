import Envelope
import HeapModule
import Primitives
import Wire

/// What a relay's driver must do.
public enum RelayEffect: Sendable, Equatable {
    /// Write the tag to disk, then call ``RelayCore/journaled(through:now:)`` with the ticket.
    case journal(epoch: UInt64, tag: Bytes16, ticket: UInt64)
    /// Send the envelope to the next hop.
    case forward(to: Bytes32, envelope: [UInt8])
    /// The payload is for a service of this server: ``Geometry/payloadSize`` bytes.
    case deliver(payload: [UInt8])
    /// The payload is for a mailbox.
    case reply(handle: Bytes16, id: Bytes16, payload: [UInt8])
}

/// Envelopes since the start, by fate.
public struct RelayCounters: CounterSet {
    public static let family = "relay"
    public static let names = [
        "overflow": "relay.queue.overflow", "overShare": "relay.queue.over_share",
        "loopsStarted": "relay.loops.started", "loopsReturned": "relay.loops.returned",
        "loopsLost": "relay.loops.lost",
        "probesStarted": "relay.probes.started", "probesReturned": "relay.probes.returned",
    ]

    public var accepted: UInt64 = 0
    public var forwarded: UInt64 = 0
    public var delivered: UInt64 = 0
    public var covers: UInt64 = 0
    public var replays: UInt64 = 0
    /// Dropped because its half of the queue, for servers or guests, was full.
    public var overflow: UInt64 = 0
    /// Dropped because its sender held its share of the queue.
    public var overShare: UInt64 = 0
    /// Dropped because the epoch's filter was full, or its key is gone.
    public var refused: UInt64 = 0
    /// A command that this version does not know how to carry out.
    public var unsupported: UInt64 = 0
    public var loopsStarted: UInt64 = 0
    public var loopsReturned: UInt64 = 0
    /// Loops that measure others, which are none of the above.
    public var probesStarted: UInt64 = 0
    public var probesReturned: UInt64 = 0
    /// Own loops that did not come back in time: somebody on their path drops envelopes.
    public var loopsLost: UInt64 = 0
    /// How often the clock went back.
    public var clockTurns: UInt64 = 0

    public init() {}
}

/// Over whose link an envelope came.
public enum EnvelopeSource: Hashable, Sendable {
    /// A server on the map, over whichever of its links.
    case server(Bytes32)
    /// An agent's link, or that of a server which is on no map yet.
    case guest(link: UInt64)
}

/// A mix: refuses replays, holds each envelope for the time that its sender drew, and forwards by due time
/// (specs/relay.md). Unwrapping is done before, on any thread, by ``MixKeyRing/unwrap(_:now:)``.
public struct RelayCore: TimedCore, Sendable {
    /// Milliseconds after which an own loop is given up.
    static let loopDeadline: UInt64 = 120_000
    static let loopLimit = 1024

    private let filterLimit: Int
    private var filters: [UInt64: ReplayFilter] = [:]
    private var queue = Heap<Held>()
    /// Due, but their tags are not on disk yet; in the order in which they fell due.
    private var overdue: [Held] = []
    /// Places of `queue` and `overdue` by sender: one half for servers, one for guests.
    private var shares: QueueShares
    private var ticket: UInt64 = 0
    private var journaledTicket: UInt64 = 0
    private var loops: [Bytes16: Timestamp] = [:]
    /// What is being measured of other relays.
    public var probe: CapacityProbe?
    private var filterSeed: Bytes32
    public private(set) var clock = ClockWatch()
    public private(set) var counters = RelayCounters()

    private struct Held: Comparable, Sendable {
        let due: UInt64
        let ticket: UInt64
        let source: EnvelopeSource
        let action: RelayEffect

        static func < (left: Held, right: Held) -> Bool { (left.due, left.ticket) < (right.due, right.ticket) }
        static func == (left: Held, right: Held) -> Bool { left.ticket == right.ticket }
    }

    /// - Parameters:
    ///   - capacity: the most envelopes held; about 2.7 kB each.
    ///   - filterLimit: the most tags remembered of one epoch; 16 bytes each.
    public init(capacity: Int = 65_536, filterLimit: Int = 1 << 26, entropy: inout Entropy) {
        shares = QueueShares(capacity: capacity)
        self.filterLimit = filterLimit
        filterSeed = entropy.bytes()
    }

    /// Envelopes held.
    public var waiting: Int { queue.count + overdue.count }

    /// When to call ``wake(now:)``.
    public var nextWake: Timestamp? { queue.min.map { Timestamp(milliseconds: $0.due) } }

    /// A tag that was accepted before the last stop.
    public mutating func restore(epoch: UInt64, tag: Bytes16) { _ = remember(tag, epoch) }

    /// Forgets the filters of epochs before `epoch`, whose keys are destroyed.
    public mutating func forget(before epoch: UInt64) {
        filters = filters.filter { $0.key >= epoch }
    }

    /// Takes an envelope that was unwrapped. The driver has refused one whose next hop is on no map.
    /// - Parameters:
    ///   - envelope: what unwrapping left: the next hop's envelope, or the opened payload at its end.
    ///   - epoch: of the key that opened it.
    public mutating func accept(
        _ envelope: [UInt8], _ unwrapped: Unwrapped, epoch: UInt64, from source: EnvelopeSource, now: Timestamp
    ) -> [RelayEffect] {
        follow(now)
        let routing = unwrapped.routing
        let action: RelayEffect
        var delay: UInt64 = 0
        switch routing.command {
        case .loop, .drop, .circuit:
            absorb(routing, now)
            return []
        case .relay:
            action = .forward(to: routing.target, envelope: envelope)
            delay = UInt64(min(routing.delayMilliseconds, RoutingBlock.longestDelay))
        case .deliver:
            action = .deliver(payload: Array(envelope[Geometry.headerSize...]))
        case .reply:
            action = .reply(
                handle: routing.handle, id: routing.id, payload: Array(envelope[Geometry.headerSize...]))
        }
        guard hold(unwrapped.replayTag, epoch, source) else { return [] }
        counters.accepted += 1
        ticket += 1
        queue.insert(
            Held(due: now.adding(milliseconds: delay).milliseconds, ticket: ticket, source: source, action: action))
        return [.journal(epoch: epoch, tag: unwrapped.replayTag, ticket: ticket)]
    }

    /// Whether an envelope is to be held: its sender has a place for it, and it is no replay.
    ///
    /// Every tag that waits for the disk belongs to an envelope that is held, so there are never more than places.
    private mutating func hold(_ tag: Bytes16, _ epoch: UInt64, _ source: EnvelopeSource) -> Bool {
        guard !shares.isFull(for: source) else {
            counters.overflow += 1
            return false
        }
        guard shares.take(for: source) else {
            counters.overShare += 1
            return false
        }
        switch remember(tag, epoch) {
        case .fresh: return true
        case .replay: counters.replays += 1
        case .full: counters.refused += 1
        }
        shares.release(of: source)
        return false
    }

    /// An envelope that ends here and has no effect but a count: needs no place, and no tag, for a replay of it has no
    /// effect either. (An own loop is struck off when it comes back.)
    private mutating func absorb(_ routing: RoutingBlock, _ now: Timestamp) {
        counters.accepted += 1
        guard routing.command != .circuit else {
            counters.unsupported += 1
            return
        }
        counters.covers += 1
        guard routing.command == .loop else { return }
        if loops.removeValue(forKey: routing.id) != nil {
            counters.loopsReturned += 1
        } else if probe?.returned(routing.id, now: now) == true {
            counters.probesReturned += 1
        }
    }

    /// Tags up to `ticket` are on disk: releases what is due.
    public mutating func journaled(through ticket: UInt64, now: Timestamp) -> [RelayEffect] {
        var effects: [RelayEffect] = []
        if ticket > journaledTicket {
            journaledTicket = ticket
            var kept: [Held] = []
            for held in overdue {
                if held.ticket <= ticket { release(held, &effects) } else { kept.append(held) }
            }
            overdue = kept
        }
        return effects + wake(now: now)
    }

    /// Releases every envelope that is due and journalled, in order of due time.
    public mutating func wake(now: Timestamp) -> [RelayEffect] {
        follow(now)
        var effects: [RelayEffect] = []
        while let first = queue.min, first.due <= now.milliseconds {
            let held = queue.removeMin()
            // Looked at again when the disk has got on: while it refuses, there can be as many as places.
            if held.ticket <= journaledTicket { release(held, &effects) } else { overdue.append(held) }
        }
        if loops.count > 0 {
            let lost = loops.filter { now.milliseconds(since: $0.value) > RelayCore.loopDeadline }
            for id in lost.keys { loops[id] = nil }
            counters.loopsLost += UInt64(lost.count)
        }
        return effects
    }

    /// When the clock went back: what is held leaves when it would have, and what was being measured is given up, for the
    /// map names whom to measure by the right day. Filters stay: they follow the keys and no clock.
    private mutating func follow(_ now: Timestamp) {
        guard let amount = clock.turned(to: now) else { return }
        counters.clockTurns += 1
        var held = Heap<Held>()
        for item in queue.unordered {
            let due = item.due > amount ? item.due - amount : 0
            held.insert(Held(due: due, ticket: item.ticket, source: item.source, action: item.action))
        }
        queue = held
        loops = loops.mapValues { $0.earlier(by: amount) }
        probe = nil
    }

    /// Sends a loop: an envelope to itself that no other relay can tell from a user's (Loopix, section 4.3).
    /// - Parameter path: mixes, then this relay as the last hop.
    public mutating func startLoop(path: [Hop], now: Timestamp, entropy: inout Entropy) -> [RelayEffect] {
        guard loops.count < RelayCore.loopLimit, let loop = makeLoop(path, &entropy) else { return [] }
        loops[loop.id] = now
        counters.loopsStarted += 1
        return [loop.effect]
    }

    /// Sends a loop that measures a relay on its path, one that ``CapacityProbe/wake(now:entropy:)`` named.
    public mutating func startProbe(path: [Hop], entropy: inout Entropy) -> [RelayEffect] {
        guard let loop = makeLoop(path, &entropy) else { return [] }
        probe?.sent(loop.id)
        counters.probesStarted += 1
        return [loop.effect]
    }

    private func makeLoop(_ path: [Hop], _ entropy: inout Entropy) -> (id: Bytes16, effect: RelayEffect)? {
        guard let first = path.first else { return nil }
        let id: Bytes16 = entropy.bytes()
        do throws(EnvelopeError) {
            let envelope = try Wrap.forward(path: path, command: .loop, id: id, content: [], entropy: &entropy)
            return (id, .forward(to: first.node, envelope: envelope))
        } catch {
            return nil
        }
    }

    private mutating func release(_ held: Held, _ effects: inout [RelayEffect]) {
        shares.release(of: held.source)
        if case .forward = held.action { counters.forwarded += 1 } else { counters.delivered += 1 }
        effects.append(held.action)
    }

    private mutating func remember(_ tag: Bytes16, _ epoch: UInt64) -> ReplayFilter.Verdict {
        if filters[epoch] == nil {
            // The filter's hash key follows from the epoch, so that a core is reproducible from its seed.
            var entropy = Entropy(seed: BLAKE2b.h(Domain("hulda/filter"), filterSeed, epoch))
            filters[epoch] = ReplayFilter(limit: filterLimit, &entropy)
        }
        return filters[epoch]?.insert(tag) ?? .full
    }
}
