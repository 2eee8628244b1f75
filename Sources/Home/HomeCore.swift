import Envelope
import Primitives
import Storage
import Wire

/// What a home is told.
public enum HomeEvent: Sendable {
    /// A service request reached this server in an envelope.
    case request(body: [UInt8], replyBlocks: [ReplyBlock])
    /// ``HomeCore/nextWake`` has come.
    case wake
}

/// What a home's driver must do, after it has committed the store.
public enum HomeEffect: Sendable, Equatable {
    /// Make the reply and hand it to the block's first hop.
    case send(ReplyBlock, content: [UInt8])
}

/// The routing service in its first form: accounts, durable inboxes, delivery through reply blocks (specs/home.md).
///
/// A home knows an account as a hash of an operational key and reaches its owner only through reply blocks. It learns
/// neither an address nor a network ID, nor who sent an item.
public struct HomeCore: TimedCore, Sendable {
    /// What it reads and writes of a store.
    public static let tables = HomeTables.all
    /// The last message IDs of an account that are recognised when they come again.
    static let recentLimit: UInt64 = 2048
    private static let sweepInterval: UInt64 = 3_600_000
    static let sweepLimit = 1000
    /// Items that one sweep looks at, and milliseconds until the next goes on behind them.
    private static let sweepSpan = 20_000
    private static let sweepPause: UInt64 = 1000

    /// An owner who attaches this long after an item was sent has probably not got it, in milliseconds.
    static let patience: UInt64 = 3000

    struct Flight {
        var sent: Timestamp
        var due: Timestamp
        var attempts: Int
    }

    let node: Bytes32
    /// What an account may have; changes when the operator changes it.
    public var configuration: HomeConfiguration
    /// Whether the store has room. The driver clears it when the store is nearly full, so that what has no room is
    /// answered instead of lost.
    public var acceptsWrites = true
    /// Without one, the home gives no names.
    public var nameSigner: NameSigner?
    public internal(set) var counters = HomeCounters()
    var inFlight: [Bytes16: [UInt64: Flight]] = [:]
    private var nextSweep: Timestamp?
    public private(set) var clock = ClockWatch()
    /// The key at which the next sweep goes on; empty for the beginning.
    private var sweepStart: [UInt8] = []

    public init(node: Bytes32, configuration: HomeConfiguration = HomeConfiguration()) {
        self.node = node
        self.configuration = configuration
    }

    /// When to hand in ``HomeEvent/wake``.
    public var nextWake: Timestamp? {
        guard let nextSweep else { return Timestamp(milliseconds: 0) }
        guard !inFlight.isEmpty else { return nextSweep }
        let flights = inFlight.values.lazy.flatMap { $0.values.lazy.map(\.due) }.min()
        return min(flights ?? nextSweep, nextSweep)
    }

    public mutating func handle(
        _ event: HomeEvent, now: Timestamp, store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [HomeEffect] {
        var effects: [HomeEffect] = []
        if let amount = clock.turned(to: now) { turnBack(by: amount) }
        switch event {
        case .request(let body, let blocks):
            try receive(body, blocks, now, &effects, &store)
        case .wake:
            try wake(now, &effects, &store)
        }
        return effects
    }

    /// Every account, for the node's statement of what it knows.
    public static func accounts(
        _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [(account: Bytes16, items: Int, replyBlocks: Int)] {
        var rows: [(account: Bytes16, items: Int, replyBlocks: Int)] = []
        try store.scan(HomeTables.accounts, from: []) { key, value in
            if let account = Bytes16(key), let row = try? AccountRow(decoding: value, of: account), !row.isClosed {
                rows.append((account, Int(row.itemCount), Int(row.blockCount)))
            }
            return true
        }
        return rows
    }

    // MARK: Requests

    private mutating func receive(
        _ body: [UInt8], _ blocks: [ReplyBlock], _ now: Timestamp, _ effects: inout [HomeEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let request: HomeRequest
        do throws(WireError) { request = try HomeRequest(decoding: body) } catch {
            counters.malformed += 1
            if let refusal = HomeCore.refusal(of: body, error) { answer(.refused(refusal), blocks, &effects) }
            return
        }
        switch request {
        case .register(let registration):
            answer(try register(registration, &store), blocks, &effects)
        case .deliver(let delivery):
            answer(try deliver(delivery, now, &effects, &store), blocks, &effects)
        case .attach(let attachment):
            if let refusal = try attach(attachment, blocks, now, &effects, &store) {
                answer(.refused(refusal), blocks, &effects)
            }
        case .takeOver(let request):
            answer(try takeOver(request, &store), blocks, &effects)
        case .close(let request):
            answer(try close(request, now, &store), blocks, &effects)
        case .name(let request):
            answer(try name(request, now, &store), blocks, &effects)
        }
    }

    /// What is said about a request that cannot be read: its sender can then tell a home that does not know it from an
    /// envelope that was lost. Nothing about what is no request at all.
    private static func refusal(of body: [UInt8], _ error: WireError) -> HomeAnswer.Refusal? {
        guard let kind = body.first, (1...HomeRequest.highestKind).contains(kind) else { return nil }
        return error == .unknownKind(kind) ? .unsupported : .malformed
    }

    private func answer(_ answer: HomeAnswer, _ blocks: [ReplyBlock], _ effects: inout [HomeEffect]) {
        if let block = blocks.first { effects.append(.send(block, content: answer.encode())) }
    }

    private mutating func deliver(
        _ delivery: HomeRequest.Delivery, _ now: Timestamp, _ effects: inout [HomeEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer {
        guard var row = try row(delivery.account, store) else {
            counters.unknownAccount += 1
            return .refused(.unknownAccount)
        }
        let indexKey = delivery.account.bytes + delivery.messageID.bytes
        if try store.get(HomeTables.index, indexKey) != nil {
            counters.duplicates += 1
            return .accepted(messageID: delivery.messageID)
        }
        guard acceptsWrites else {
            counters.full += 1
            return .refused(.serverFull)
        }
        guard Int(row.itemCount) < configuration.inboxItems,
            Int(row.itemBytes) + delivery.blob.count <= configuration.inboxBytes
        else {
            counters.full += 1
            return .refused(.inboxFull)
        }
        let number = row.nextItem
        row.nextItem &+= 1
        row.itemCount += 1
        row.itemBytes += UInt32(delivery.blob.count)
        let item = ItemRow(
            expiry: now.adding(seconds: configuration.retention).seconds, messageID: delivery.messageID,
            blob: delivery.blob)
        try store.put(HomeTables.items, HomeTables.key(delivery.account, number), item.encode())
        let ring = HomeTables.key(delivery.account, number % HomeCore.recentLimit)
        if let old = try store.get(HomeTables.recent, ring) {
            try store.delete(HomeTables.index, delivery.account.bytes + old)
        }
        try store.put(HomeTables.recent, ring, delivery.messageID.bytes)
        try store.put(HomeTables.index, indexKey, [])
        counters.accepted += 1
        var spare: [ReplyBlock] = []
        try send(&row, delivery.account, &spare, now, &effects, &store)
        try save(row, delivery.account, &store)
        return .accepted(messageID: delivery.messageID)
    }

    /// - Returns: why the attachment does not count; `nil` when it does.
    private mutating func attach(
        _ attachment: HomeRequest.Attachment, _ blocks: [ReplyBlock], _ now: Timestamp,
        _ effects: inout [HomeEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer.Refusal? {
        let account = attachment.account
        guard var row = try row(account, store) else {
            counters.unknownAccount += 1
            return .unknownAccount
        }
        var writer = Writer(capacity: blocks.count * ReplyBlock.encodedSize)
        for block in blocks { block.encode(&writer) }
        let message = HomeRequest.Attachment.message(
            home: node, account: account, counter: attachment.counter, isReturning: attachment.isReturning,
            acknowledged: attachment.acknowledged, blocks: writer.bytes)
        guard row.key.isValid(attachment.signature, for: message) else {
            counters.wrongSignature += 1
            return .wrongSignature
        }
        guard row.take(attachment.counter) else {
            counters.replayed += 1
            return .replayed
        }
        counters.attachments += 1
        for number in attachment.acknowledged {
            try remove(number, account, &row, &store)
            counters.acknowledged += 1
        }
        if attachment.isReturning { inFlight[account] = nil }
        // A store that is nearly full keeps no blocks, but what they carry away makes room.
        var spare = acceptsWrites ? [] : blocks
        if acceptsWrites { try stock(blocks, account, &row, now, &store) }
        let sent = try send(&row, account, &spare, isAttaching: true, now, &effects, &store)
        if sent == 0, let block = try takeBlock(account, &row, &spare, now, &store) {
            let answer = HomeAnswer.attached(
                pending: row.itemCount, blocks: UInt8(clamping: row.blockCount))
            effects.append(.send(block, content: answer.encode()))
        }
        try save(row, account, &store)
        return nil
    }

    // MARK: Time

    private mutating func wake(
        _ now: Timestamp, _ effects: inout [HomeEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        // Sorted, so that a run can be repeated: a dictionary's order differs each time.
        for account in inFlight.keys.sorted() {
            guard inFlight[account]?.values.contains(where: { $0.due <= now }) == true else { continue }
            guard var row = try row(account, store), row.itemCount > 0 else {
                inFlight[account] = nil
                continue
            }
            if row.blockCount == 0 {
                // Nothing can be sent before the owner attaches, which sends by itself.
                inFlight[account] = nil
                continue
            }
            var spare: [ReplyBlock] = []
            try send(&row, account, &spare, now, &effects, &store)
            try save(row, account, &store)
            // What is still due could not be sent, or is gone; it is found again when the owner attaches.
            inFlight[account] = inFlight[account]?.filter { $0.value.due > now }
        }
        if clock.isOnTrial(now) {
            // By a clock that goes back again nothing was over.
            nextSweep = max(nextSweep ?? now, now.adding(milliseconds: ClockWatch.trial))
        } else if nextSweep.map({ now >= $0 }) ?? true {
            let isOver = try sweep(now, &store)
            nextSweep = now.adding(milliseconds: isOver ? HomeCore.sweepInterval : HomeCore.sweepPause)
        }
    }

    /// The clock went back (specs/home.md, "Clocks"): items are sent again when they would have been.
    private mutating func turnBack(by amount: UInt64) {
        counters.clockTurns += 1
        nextSweep = nextSweep?.earlier(by: amount)
        inFlight = inFlight.mapValues { flights in
            flights.mapValues { flight in
                Flight(
                    sent: flight.sent.earlier(by: amount), due: flight.due.earlier(by: amount),
                    attempts: flight.attempts)
            }
        }
    }

    /// Deletes items whose time is over, and damaged ones: a part of them at a time, so that nobody waits for long.
    /// - Returns: whether all were looked at.
    private mutating func sweep(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        var expired: [(account: Bytes16, number: UInt64)] = []
        var seen = 0
        var rest: [UInt8]?
        try store.scan(HomeTables.items, from: sweepStart) { key, value in
            guard seen < HomeCore.sweepSpan, expired.count < HomeCore.sweepLimit else {
                rest = key
                return false
            }
            seen += 1
            let expiry = (try? ItemRow(decoding: value))?.expiry ?? 0
            if let entry = HomeTables.split(key), expiry <= now.seconds { expired.append(entry) }
            return true
        }
        for (account, number) in expired {
            guard var row = try row(account, store) else {
                try store.delete(HomeTables.items, HomeTables.key(account, number))
                continue
            }
            try remove(number, account, &row, &store)
            try save(row, account, &store)
            counters.expired += 1
        }
        sweepStart = rest ?? []
        guard rest == nil else { return false }
        let forgotten = max(try sweepClosed(now, &store), try sweepNames(now, &store))
        return forgotten < HomeCore.sweepLimit
    }
}
