import CSodium
import Storage

/// What shows that an entry is as it was written: SipHash-2-4 over table, key and value, 8 bytes behind the value.
///
/// Its key is no secret: it finds what a medium, a cable or a stray write has changed, not what somebody forged who can
/// write the file. Since table and key go in, an entry in another's place does not fit.
enum EntryChecksum {
    static let size = 8
    private static let key = Array("hulda store sums".utf8)

    static func of(_ table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> UInt64 {
        var place: UInt64 = 0
        let name = table.name.utf8
        withUnsafeTemporaryAllocation(byteCount: name.count + 1 + key.count, alignment: 1) { message in
            message.copyBytes(from: name)
            message[name.count] = 0
            UnsafeMutableRawBufferPointer(rebasing: message[(name.count + 1)...]).copyMemory(from: key)
            EntryChecksum.key.withUnsafeBytes { hash(UnsafeRawBufferPointer(message), key: $0, into: &place) }
        }
        var sum: UInt64 = 0
        let second = (place.littleEndian, UInt64(value.count).littleEndian)
        withUnsafeBytes(of: second) { hash(value, key: $0, into: &sum) }
        return UInt64(littleEndian: sum)
    }

    /// A value as it lies in the file.
    static func sealed(_ table: Table, _ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
        let sum = key.withUnsafeBytes { key in value.withUnsafeBytes { of(table, key: key, value: $0) } }
        return value + withUnsafeBytes(of: sum.littleEndian) { Array($0) }
    }

    /// The value of an entry as it lies in the file.
    /// - Returns: `nil` when the entry does not fit its checksum.
    static func opened(
        _ table: Table, key: UnsafeRawBufferPointer, stored: UnsafeRawBufferPointer
    ) -> UnsafeRawBufferPointer? {
        guard stored.count >= size else { return nil }
        let value = UnsafeRawBufferPointer(rebasing: stored[..<(stored.count - size)])
        let sum = UInt64(littleEndian: stored.loadUnaligned(fromByteOffset: value.count, as: UInt64.self))
        return sum == of(table, key: key, value: value) ? value : nil
    }

    private static func hash(_ message: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, into out: inout UInt64) {
        withUnsafeMutableBytes(of: &out) { out in
            guard let to = out.baseAddress, let key = key.baseAddress else { return }
            _ = crypto_shorthash_siphash24(
                to.assumingMemoryBound(to: UInt8.self), message.baseAddress?.assumingMemoryBound(to: UInt8.self),
                UInt64(message.count), key.assumingMemoryBound(to: UInt8.self))
        }
    }
}
