import Primitives
import Storage
import Wire

/// Opening accounts, giving them other keys, closing them.
extension HomeCore {
    /// Seconds for which a closed account is remembered: longer than any record that names it is valid.
    static let closedFor: UInt64 = 2 * 86_400

    mutating func register(
        _ registration: HomeRequest.Registration, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer {
        if let token = configuration.registrationToken {
            let isRight = Array(token.utf8).withUnsafeBytes { wanted in
                Array(registration.token.utf8).withUnsafeBytes { ConstantTime.equal(wanted, $0) }
            }
            guard isRight else {
                counters.wrongToken += 1
                return .refused(.wrongToken)
            }
        }
        let message = HomeRequest.Registration.message(
            home: node, key: registration.key, recovery: registration.recovery, token: registration.token)
        guard registration.key.isValid(registration.signature, for: message) else {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        let account = Account.id(of: registration.key)
        guard var row = try storedRow(account, store) else {
            guard acceptsWrites, try store.count(HomeTables.accounts) < configuration.accountLimit else {
                counters.full += 1
                return .refused(.serverFull)
            }
            var row = try HomeTables.freshRow(registration.key, store)
            row.recovery = registration.recovery ?? Bytes32()
            try save(row, account, &store)
            counters.registrations += 1
            return .registered(account: account)
        }
        // Who holds a key that was replaced could otherwise take the account back, or prepare to.
        guard !row.isClosed, row.key == registration.key else {
            counters.superseded += 1
            return .refused(.superseded)
        }
        if let recovery = registration.recovery, row.recovery != recovery {
            guard row.recovery == Bytes32() else {
                counters.superseded += 1
                return .refused(.superseded)
            }
            row.recovery = recovery
            try save(row, account, &store)
        }
        counters.registrations += 1
        return .registered(account: account)
    }

    mutating func takeOver(
        _ request: HomeRequest.TakeOver, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer {
        guard var row = try row(request.account, store) else {
            counters.unknownAccount += 1
            return .refused(.unknownAccount)
        }
        guard row.recovery == Account.commitment(to: request.recovery) else {
            counters.wrongSignature += 1
            return .refused(.wrongRecovery)
        }
        let message = HomeRequest.TakeOver.message(
            home: node, account: request.account, serial: request.serial, key: request.key)
        guard request.recovery.isValid(request.signature, for: message) else {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        if request.serial == row.serial, request.key == row.key { return .takenOver(serial: row.serial) }
        guard request.serial > row.serial else {
            counters.replayed += 1
            return .refused(.replayed)
        }
        row.key = request.key
        row.serial = request.serial
        row.counter = 0
        row.window = 0
        // Whoever had the old key may have put his own blocks here, and acknowledged what he had no right to: the same
        // messages are taken again when their senders repeat them.
        try removeBlocks(request.account, &row, &store)
        try forgetRecent(request.account, &store)
        forgetFlights(request.account)
        try save(row, request.account, &store)
        counters.takenOver += 1
        return .takenOver(serial: row.serial)
    }

    mutating func close(
        _ request: HomeRequest.Closing, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> HomeAnswer {
        // What is not there is closed: the answer to the first request may have been lost.
        guard var row = try row(request.account, store) else { return .closed(account: request.account) }
        guard row.recovery == Account.commitment(to: request.recovery) else {
            counters.wrongSignature += 1
            return .refused(.wrongRecovery)
        }
        let message = HomeRequest.Closing.message(home: node, account: request.account, discards: request.discards)
        guard request.recovery.isValid(request.signature, for: message) else {
            counters.wrongSignature += 1
            return .refused(.wrongSignature)
        }
        guard row.itemCount == 0 || request.discards else { return .refused(.notEmpty) }
        for number in try numbers(HomeTables.items, request.account, store) {
            try store.delete(HomeTables.items, HomeTables.key(request.account, number))
        }
        try removeBlocks(request.account, &row, &store)
        try forgetRecent(request.account, &store)
        forgetFlights(request.account)
        try releaseNames(of: request.account, now, &store)
        row.itemCount = 0
        row.itemBytes = 0
        row.isClosed = true
        try save(row, request.account, &store)
        let end = now.adding(seconds: HomeCore.closedFor).seconds
        try store.put(HomeTables.closed, HomeTables.number(end) + request.account.bytes, [])
        counters.closed += 1
        return .closed(account: request.account)
    }

    /// Forgets closed accounts whose time is over.
    /// - Returns: how many.
    func sweepClosed(
        _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Int {
        var outdated: [[UInt8]] = []
        let end = HomeTables.number(now.seconds)
        try store.scan(HomeTables.closed, from: []) { key, _ in
            guard key.count == 24, key[0..<8].lexicographicallyPrecedes(end) else { return false }
            outdated.append(key)
            return outdated.count < HomeCore.sweepLimit
        }
        for key in outdated {
            try store.delete(HomeTables.closed, key)
            try store.delete(HomeTables.accounts, Array(key[8...]))
        }
        return outdated.count
    }

    /// An account that is open.
    mutating func row(
        _ account: Bytes16, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> AccountRow? {
        guard let row = try storedRow(account, store), !row.isClosed else { return nil }
        return row
    }

    func save(
        _ row: AccountRow, _ account: Bytes16, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.put(HomeTables.accounts, account.bytes, row.encode(of: account))
    }

    /// What is known of an account, open or closed. A damaged entry counts as none: its owner registers again when told
    /// so.
    private mutating func storedRow(
        _ account: Bytes16, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> AccountRow? {
        guard let bytes = try store.get(HomeTables.accounts, account.bytes) else { return nil }
        guard let row = try? AccountRow(decoding: bytes, of: account) else {
            counters.damaged += 1
            return nil
        }
        return row
    }

    private func numbers(
        _ table: Table, _ account: Bytes16, _ store: borrowing some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> [UInt64] {
        var found: [UInt64] = []
        try store.scan(table, from: HomeTables.key(account, 0)) { key, _ in
            guard let entry = HomeTables.split(key), entry.account == account else { return false }
            found.append(entry.number)
            return true
        }
        return found
    }

    private func removeBlocks(
        _ account: Bytes16, _ row: inout AccountRow, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for number in try numbers(HomeTables.blocks, account, store) {
            try store.delete(HomeTables.blocks, HomeTables.key(account, number))
        }
        row.blockCount = 0
    }

    /// Forgets which message IDs came of late.
    private func forgetRecent(
        _ account: Bytes16, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for number in try numbers(HomeTables.recent, account, store) {
            let key = HomeTables.key(account, number)
            if let message = try store.get(HomeTables.recent, key) {
                try store.delete(HomeTables.index, account.bytes + message)
            }
            try store.delete(HomeTables.recent, key)
        }
    }
}
