import Primitives
import Wire

/// An account at a home: derived from a key made for this home, never from the network ID.
public enum Account {
    /// The first 16 bytes of `H("hulda/account", the key that opened the account)`. It stays when the key is replaced.
    public static func id(of key: VerifyingKey) -> Bytes16 {
        let hash = BLAKE2b.h(Domain("hulda/account"), key.bytes)
        return Bytes16(hash.bytes.prefix(16)) ?? Bytes16()
    }

    /// What a home keeps of a recovery key until it is used: `H("hulda/home-rec", recovery key)`.
    public static func commitment(to recovery: VerifyingKey) -> Bytes32 {
        BLAKE2b.h(Domain("hulda/home-rec"), recovery.bytes)
    }
}

extension HomeRequest {
    /// The account's key is replaced: its holder may be a thief, so only the recovery key can do this
    /// (specs/home.md, "Taking over").
    public struct TakeOver: Hashable, Sendable {
        public var account: Bytes16
        public var recovery: VerifyingKey
        /// Higher than at any take-over before, so that none can be replayed.
        public var serial: UInt64
        public var key: VerifyingKey
        public var signature: Signature

        init(_ reader: inout Reader) throws(WireError) {
            account = try reader.fixed()
            recovery = VerifyingKey(try reader.fixed())
            serial = try reader.uint64()
            key = VerifyingKey(try reader.fixed())
            signature = Signature(try reader.fixed())
        }

        init(home: Bytes32, account: Bytes16, serial: UInt64, key: VerifyingKey, recovery: borrowing SigningKey) {
            self.account = account
            self.recovery = recovery.publicKey
            self.serial = serial
            self.key = key
            signature = recovery.sign(TakeOver.message(home: home, account: account, serial: serial, key: key))
        }

        func encode(_ writer: inout Writer) {
            writer.fixed(account)
            writer.fixed(recovery.bytes)
            writer.uint64(serial)
            writer.fixed(key.bytes)
            writer.fixed(signature.bytes)
        }

        static func message(home: Bytes32, account: Bytes16, serial: UInt64, key: VerifyingKey) -> [UInt8] {
            var writer = Writer(capacity: 88)
            writer.fixed(home)
            writer.fixed(account)
            writer.uint64(serial)
            writer.fixed(key.bytes)
            return BLAKE2b.h(Domain("hulda/home-tak"), writer.bytes).bytes
        }
    }

    /// The account is closed (specs/home.md, "Closing").
    public struct Closing: Hashable, Sendable {
        public var account: Bytes16
        public var recovery: VerifyingKey
        /// Whether what still waits in the inbox is given up.
        public var discards: Bool
        public var signature: Signature

        init(_ reader: inout Reader) throws(WireError) {
            account = try reader.fixed()
            recovery = VerifyingKey(try reader.fixed())
            let flags = try reader.uint8()
            guard flags <= 1 else { throw .outOfRange(field: "flags") }
            discards = flags == 1
            signature = Signature(try reader.fixed())
        }

        init(home: Bytes32, account: Bytes16, discards: Bool, recovery: borrowing SigningKey) {
            self.account = account
            self.recovery = recovery.publicKey
            self.discards = discards
            signature = recovery.sign(Closing.message(home: home, account: account, discards: discards))
        }

        func encode(_ writer: inout Writer) {
            writer.fixed(account)
            writer.fixed(recovery.bytes)
            writer.uint8(discards ? 1 : 0)
            writer.fixed(signature.bytes)
        }

        static func message(home: Bytes32, account: Bytes16, discards: Bool) -> [UInt8] {
            var writer = Writer(capacity: 49)
            writer.fixed(home)
            writer.fixed(account)
            writer.uint8(discards ? 1 : 0)
            return BLAKE2b.h(Domain("hulda/home-cls"), writer.bytes).bytes
        }
    }

    /// A take-over signed by the recovery key.
    public static func takeOver(
        home: Bytes32, account: Bytes16, serial: UInt64, key: VerifyingKey, recovery: borrowing SigningKey
    ) -> HomeRequest {
        .takeOver(TakeOver(home: home, account: account, serial: serial, key: key, recovery: recovery))
    }

    /// A closing signed by the recovery key.
    public static func close(
        home: Bytes32, account: Bytes16, discards: Bool, recovery: borrowing SigningKey
    ) -> HomeRequest {
        .close(Closing(home: home, account: account, discards: discards, recovery: recovery))
    }
}
