import Envelope
import Primitives
import Storage
import Wire

/// Items that wait, and the reply blocks that carry them to their owner (specs/home.md).
extension HomeCore {
    /// Sends items that are not under way, oldest first, as long as there are reply blocks.
    @discardableResult
    mutating func send(
        _ row: inout AccountRow, _ account: Bytes16, _ spare: inout [ReplyBlock], isAttaching: Bool = false,
        _ now: Timestamp, _ effects: inout [HomeEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        guard row.itemCount > 0, row.blockCount > 0 || !spare.isEmpty else { return 0 }
        let flights = inFlight[account] ?? [:]
        var ready: [(number: UInt64, item: ItemRow)] = []
        let room = Int(row.blockCount) + spare.count
        try store.scan(HomeTables.items, from: HomeTables.key(account, 0)) { key, value in
            guard let entry = HomeTables.split(key), entry.account == account else { return false }
            if let flight = flights[entry.number], flight.due > now,
                !isAttaching || now.milliseconds(since: flight.sent) < HomeCore.patience
            {
                return true
            }
            if let item = try? ItemRow(decoding: value) { ready.append((entry.number, item)) }
            return ready.count < room
        }
        var sent = 0
        for (number, item) in ready {
            guard let block = try takeBlock(account, &row, &spare, now, &store) else { break }
            let attempts = inFlight[account]?[number]?.attempts ?? 0
            let wait = configuration.redelivery << UInt64(min(attempts, 7))
            inFlight[account, default: [:]][number] = Flight(
                sent: now, due: now.adding(milliseconds: wait), attempts: attempts + 1)
            let answer = HomeAnswer.item(
                .init(number: number, pending: row.itemCount, messageID: item.messageID, blob: item.blob))
            effects.append(.send(block, content: answer.encode()))
            sent += 1
        }
        counters.itemsSent += UInt64(sent)
        return sent
    }

    mutating func remove(
        _ number: UInt64, _ account: Bytes16, _ row: inout AccountRow,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let key = HomeTables.key(account, number)
        guard let value = try store.get(HomeTables.items, key) else { return }
        try store.delete(HomeTables.items, key)
        row.itemCount -= min(row.itemCount, 1)
        // Expiry and message ID stand before the blob.
        row.itemBytes -= min(row.itemBytes, UInt32(clamping: value.count - 24))
        inFlight[account]?[number] = nil
        if inFlight[account]?.isEmpty == true { inFlight[account] = nil }
    }

    func stock(
        _ blocks: [ReplyBlock], _ account: Bytes16, _ row: inout AccountRow, _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        // A block's relays keep their keys until an hour after the epoch in which it was made.
        let expiry = (now.epoch + 1) * Timestamp.secondsPerEpoch
        for block in blocks {
            if Int(row.blockCount) >= configuration.replyBlockLimit {
                guard let oldest = try firstBlock(account, store) else { return }
                try store.delete(HomeTables.blocks, oldest.key)
                row.blockCount -= 1
            }
            try store.put(
                HomeTables.blocks, HomeTables.key(account, row.nextBlock),
                BlockRow(expiry: expiry, block: block).encode())
            row.nextBlock &+= 1
            row.blockCount += 1
        }
    }

    /// The newest block: its gateway and relays are the likeliest to be there still.
    func takeBlock(
        _ account: Bytes16, _ row: inout AccountRow, _ spare: inout [ReplyBlock], _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> ReplyBlock? {
        if let block = spare.popLast() { return block }
        while row.blockCount > 0, row.nextBlock > 0 {
            row.nextBlock -= 1
            row.blockCount -= 1
            let key = HomeTables.key(account, row.nextBlock)
            guard let value = try store.get(HomeTables.blocks, key) else { continue }
            try store.delete(HomeTables.blocks, key)
            if let stocked = try? BlockRow(decoding: value), stocked.expiry > now.seconds { return stocked.block }
        }
        return nil
    }

    private func firstBlock(
        _ account: Bytes16, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> (key: [UInt8], value: [UInt8])? {
        var found: (key: [UInt8], value: [UInt8])?
        try store.scan(HomeTables.blocks, from: HomeTables.key(account, 0)) { key, value in
            if HomeTables.split(key)?.account == account { found = (key, value) }
            return false
        }
        return found
    }

    mutating func forgetFlights(_ account: Bytes16) { inFlight[account] = nil }
}
