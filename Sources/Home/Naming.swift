import Primitives
import Records
import Wire

extension HomeRequest {
    /// A name for the account, or the record of a name that it has (specs/home.md, "Names").
    public struct Naming: Hashable, Sendable {
        public var account: Bytes16
        /// As in an attachment.
        public var counter: UInt64
        /// Whether the name is given up instead.
        public var isRelease: Bool
        /// For which epoch a record is wanted.
        public var epoch: UInt64
        /// Stands for the name: ``NameSecret/label``.
        public var label: Bytes32
        /// ``NamePointer``; empty when the name is given up.
        public var pointer: [UInt8]
        public var signature: Signature

        init(_ reader: inout Reader) throws(WireError) {
            account = try reader.fixed()
            counter = try reader.uint64()
            let flags = try reader.uint8()
            guard flags <= 1 else { throw .outOfRange(field: "flags") }
            isRelease = flags == 1
            epoch = try reader.uint64()
            label = try reader.fixed()
            pointer = try reader.prefixed(limit: NamePointer.size, field: "pointer")
            guard pointer.count == (isRelease ? 0 : NamePointer.size) else { throw .outOfRange(field: "pointer") }
            signature = Signature(try reader.fixed())
        }

        init(
            home: Bytes32, account: Bytes16, counter: UInt64, epoch: UInt64, label: Bytes32, pointer: [UInt8]?,
            key: borrowing SigningKey
        ) {
            self.account = account
            self.counter = counter
            isRelease = pointer == nil
            self.epoch = epoch
            self.label = label
            self.pointer = pointer ?? []
            signature = Signature(Bytes64())
            signature = key.sign(message(home: home))
        }

        func encode(_ writer: inout Writer) {
            encodeUnsigned(&writer)
            writer.fixed(signature.bytes)
        }

        private func encodeUnsigned(_ writer: inout Writer) {
            writer.fixed(account)
            writer.uint64(counter)
            writer.uint8(isRelease ? 1 : 0)
            writer.uint64(epoch)
            writer.fixed(label)
            writer.prefixed(pointer)
        }

        /// `H("hulda/home-nam", node ID ‖ everything before the signature)`.
        func message(home: Bytes32) -> [UInt8] {
            var writer = Writer(capacity: 256)
            writer.fixed(home)
            encodeUnsigned(&writer)
            return BLAKE2b.h(Domain("hulda/home-nam"), writer.bytes).bytes
        }
    }

    /// A claim, or a refresh, of a name; or with no pointer its release. Signed by the account's key.
    public static func name(
        home: Bytes32, account: Bytes16, counter: UInt64, epoch: UInt64, label: Bytes32, pointer: [UInt8]?,
        key: borrowing SigningKey
    ) -> HomeRequest {
        .name(
            Naming(
                home: home, account: account, counter: counter, epoch: epoch, label: label, pointer: pointer, key: key))
    }
}
