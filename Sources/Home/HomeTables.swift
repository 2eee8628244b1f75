import Envelope
import Primitives
import Storage
import Wire

/// A home's tables, by account. Keys are the account and a big-endian number, so a scan is in order of arrival.
enum HomeTables {
    static let accounts = Table("home/accounts")
    static let items = Table("home/items")
    static let blocks = Table("home/blocks")
    /// Ring of the last message IDs of an account, and its index.
    static let recent = Table("home/recent")
    static let index = Table("home/index")
    /// When closed accounts are forgotten: expiry, big-endian, and the account.
    static let closed = Table("home/closed")
    /// Names by label: the account, and when the name is free again.
    static let names = Table("home/names")
    /// The labels of an account's names, after the account.
    static let labels = Table("home/labels")
    static let all = [accounts, items, blocks, recent, index, closed, names, labels]

    static func key(_ account: Bytes16, _ number: UInt64) -> [UInt8] {
        account.bytes + HomeTables.number(number)
    }

    static func number(_ number: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) }
    }

    static func split(_ key: [UInt8]) -> (account: Bytes16, number: UInt64)? {
        guard key.count == 24, let account = Bytes16(key[0..<16]) else { return nil }
        return (account, key[16...].reduce(0) { $0 << 8 | UInt64($1) })
    }
}

extension HomeTables {
    /// How far a new entry of an account begins behind the items that it finds, so that late acknowledgements of
    /// earlier ones hit none.
    private static let leap: UInt64 = 1 << 32

    /// The entry of an account that is opened. Where items lie already, since an earlier entry was damaged, they are
    /// counted in and numbers go on behind theirs; reply blocks of the earlier entry are not used any more.
    static func freshRow(
        _ key: VerifyingKey, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> AccountRow {
        let account = Account.id(of: key)
        var row = AccountRow(key: key)
        try store.scan(items, from: self.key(account, 0)) { key, value in
            guard let entry = split(key), entry.account == account else { return false }
            row.nextItem = max(row.nextItem, entry.number &+ leap)
            row.itemCount += 1
            row.itemBytes += UInt32(clamping: value.count)
            return true
        }
        try store.scan(blocks, from: self.key(account, 0)) { key, _ in
            guard let entry = split(key), entry.account == account else { return false }
            row.nextBlock = max(row.nextBlock, entry.number &+ 1)
            return true
        }
        return row
    }
}

/// What a home knows of an account.
struct AccountRow {
    var key: VerifyingKey
    /// The highest attachment counter and the 64 below it that were seen.
    var counter: UInt64 = 0
    var window: UInt64 = 0
    var nextItem: UInt64 = 1
    var nextBlock: UInt64 = 1
    var itemCount: UInt32 = 0
    var itemBytes: UInt32 = 0
    var blockCount: UInt32 = 0
    /// The commitment to the recovery key; zero in an account that was opened without.
    var recovery = Bytes32()
    /// Of the last take-over.
    var serial: UInt64 = 0
    /// Whether the account is over; the row stays for a while, so that nobody opens it again.
    var isClosed = false

    init(key: VerifyingKey) { self.key = key }

    /// - Parameter account: whose entry this is said to be.
    init(decoding bytes: [UInt8], of account: Bytes16) throws(WireError) {
        var reader = Reader(bytes)
        key = VerifyingKey(try reader.fixed())
        counter = try reader.uint64()
        window = try reader.uint64()
        nextItem = try reader.uint64()
        nextBlock = try reader.uint64()
        itemCount = try reader.uint32()
        itemBytes = try reader.uint32()
        blockCount = try reader.uint32()
        // Rows of the first version end here.
        if reader.remaining > 0 {
            recovery = try reader.fixed()
            serial = try reader.uint64()
            let flags = try reader.uint8()
            guard flags <= AccountRow.closedFlag | AccountRow.checkedFlag else { throw .outOfRange(field: "flags") }
            isClosed = flags & AccountRow.closedFlag != 0
            if flags & AccountRow.checkedFlag != 0 {
                let check: Bytes32 = try reader.fixed()
                try reader.finish()
                guard check == AccountRow.check(account, bytes.dropLast(Bytes32.count)) else {
                    throw .outOfRange(field: "check")
                }
                return
            }
        }
        try reader.finish()
        // Rows of the first two versions have no check: their keys are one where the account was never taken over.
        guard serial > 0 || Account.id(of: key) == account else { throw .outOfRange(field: "key") }
    }

    private static let closedFlag: UInt8 = 1
    private static let checkedFlag: UInt8 = 2

    /// Tells a damaged row: a taken-over account's key says nothing about the account.
    private static func check(_ account: Bytes16, _ row: [UInt8]) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/home-row"), account.bytes + row)
    }

    func encode(of account: Bytes16) -> [UInt8] {
        var writer = Writer(capacity: 149)
        writer.fixed(key.bytes)
        writer.uint64(counter)
        writer.uint64(window)
        writer.uint64(nextItem)
        writer.uint64(nextBlock)
        writer.uint32(itemCount)
        writer.uint32(itemBytes)
        writer.uint32(blockCount)
        writer.fixed(recovery)
        writer.uint64(serial)
        writer.uint8(AccountRow.checkedFlag | (isClosed ? AccountRow.closedFlag : 0))
        writer.fixed(AccountRow.check(account, writer.bytes))
        return writer.bytes
    }

    /// Takes a counter that is new and not more than 64 behind the highest; envelopes overtake each other.
    mutating func take(_ new: UInt64) -> Bool {
        if new > counter {
            let shift = new - counter
            window = shift >= 64 ? 0 : window << shift
            window |= 1
            counter = new
            return true
        }
        let age = counter - new
        guard age < 64, window & 1 << age == 0 else { return false }
        window |= 1 << age
        return true
    }
}

/// An item as it lies in the inbox.
struct ItemRow {
    /// Seconds since 1970.
    var expiry: UInt64
    var messageID: Bytes16
    var blob: [UInt8]

    init(expiry: UInt64, messageID: Bytes16, blob: [UInt8]) {
        self.expiry = expiry
        self.messageID = messageID
        self.blob = blob
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        expiry = try reader.uint64()
        messageID = try reader.fixed()
        blob = reader.rest()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 24 + blob.count)
        writer.uint64(expiry)
        writer.fixed(messageID)
        writer.append(blob)
        return writer.bytes
    }
}

/// A reply block in stock, with the time until which its relays have its keys.
struct BlockRow {
    var expiry: UInt64
    var block: ReplyBlock

    init(expiry: UInt64, block: ReplyBlock) {
        self.expiry = expiry
        self.block = block
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        expiry = try reader.uint64()
        block = try ReplyBlock(&reader)
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 8 + ReplyBlock.encodedSize)
        writer.uint64(expiry)
        block.encode(&writer)
        return writer.bytes
    }
}

/// Who has a name, or had it last.
struct NameRow {
    var account: Bytes16
    /// In seconds; from then on anybody can have it.
    var freeAt: UInt64
    /// Whether the account has given it up.
    var isReleased = false
    /// The second of which the last record is that was signed.
    var published: UInt64 = 0

    init(account: Bytes16, freeAt: UInt64) {
        self.account = account
        self.freeAt = freeAt
    }

    /// The second of which the next record is: one that says something else than the last one is newer than it.
    func nextPublished(isRelease: Bool, _ now: Timestamp) -> UInt64 {
        max(now.seconds, isRelease == isReleased ? published : published &+ 1)
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        account = try reader.fixed()
        freeAt = try reader.uint64()
        let flags = try reader.uint8()
        guard flags <= 1 else { throw .outOfRange(field: "flags") }
        isReleased = flags == 1
        published = try reader.uint64()
        try reader.finish()
    }

    func encode() -> [UInt8] {
        var writer = Writer(capacity: 33)
        writer.fixed(account)
        writer.uint64(freeAt)
        writer.uint8(isReleased ? 1 : 0)
        writer.uint64(published)
        return writer.bytes
    }
}
