import Primitives
import Testing
import Wire

@Suite("Reading and writing")
struct ReaderTests {
    @Test("is little-endian and gives back what was written")
    func roundTrip() throws {
        var writer = Writer()
        writer.uint8(0x01)
        writer.uint16(0x0203)
        writer.uint32(0x0405_0607)
        writer.uint64(0x0809_0a0b_0c0d_0e0f)
        writer.fixed(Bytes16())
        writer.prefixed([9, 8])
        writer.string("gå")
        writer.append([1, 2, 3])
        #expect(
            Array(writer.bytes.prefix(15)) == [
                1, 3, 2, 7, 6, 5, 4, 0xf, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8,
            ])
        var reader = Reader(writer.bytes)
        #expect(try reader.uint8() == 1)
        #expect(try reader.uint16() == 0x0203)
        #expect(try reader.uint32() == 0x0405_0607)
        #expect(try reader.uint64() == 0x0809_0a0b_0c0d_0e0f)
        #expect(try reader.fixed(Bytes16.self) == Bytes16())
        #expect(try reader.prefixed(limit: 2, field: "x") == [9, 8])
        #expect(try reader.string(limit: 10, field: "y") == "gå")
        #expect(reader.remaining == 3)
        #expect(try reader.bytes(2) == [1, 2])
        #expect(reader.rest() == [3])
        #expect(reader.remaining == 0)
        try reader.finish()
    }

    @Test("pads with zeros up to a size and never shortens")
    func padding() {
        var writer = Writer()
        writer.uint8(7)
        writer.pad(to: 4)
        #expect(writer.bytes == [7, 0, 0, 0])
        writer.pad(to: 2)
        #expect(writer.bytes.count == 4)
    }

    @Test("stops at the end of the bytes, without moving")
    func truncation() throws {
        for count in 0..<8 {
            var reader = Reader([UInt8](repeating: 1, count: count))
            #expect(throws: WireError.truncated) { try reader.uint64() }
            #expect(throws: WireError.truncated) { try reader.fixed(Bytes16.self) }
            #expect(throws: WireError.truncated) { try reader.bytes(count + 1) }
            #expect(reader.remaining == count)
        }
        var empty = Reader([])
        #expect(throws: WireError.truncated) { try empty.uint8() }
        #expect(throws: WireError.truncated) { try empty.bytes(-1) }
        #expect(throws: WireError.truncated) { try empty.bytes(.max) }
        #expect(try empty.bytes(0) == [])
    }

    @Test("refuses lengths over the limit before it reads, text that is not UTF-8, and bytes left over")
    func limits() throws {
        var long = Reader([0xff, 0xff, 1])
        #expect(throws: WireError.outOfRange(field: "name")) { try long.prefixed(limit: 10, field: "name") }
        var short = Reader([5, 0, 1])
        #expect(throws: WireError.truncated) { try short.prefixed(limit: 10, field: "name") }
        for raw: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]] {
            var text = Reader([UInt8(raw.count), 0] + raw)
            #expect(throws: WireError.outOfRange(field: "text")) { try text.string(limit: 10, field: "text") }
        }
        #expect(throws: WireError.trailingBytes(2)) {
            var reader = Reader([1, 2, 3])
            _ = try reader.uint8()
            try reader.finish()
        }
    }

    @Test("reads a slice from its own start to its own end")
    func slices() throws {
        let bytes: [UInt8] = [9, 1, 0, 9]
        var reader = Reader(bytes[1..<3])
        #expect(try reader.uint16() == 1)
        #expect(throws: WireError.truncated) { try reader.uint8() }
    }

    @Test("survives any order of reads on any bytes, and never reads more than there is")
    func fuzz() {
        let seed: UInt64 = 40
        print("reader: seed \(seed)")
        var entropy = Entropy(seed: seed)
        for _ in 0..<20_000 {
            let count = entropy.below(80)
            var reader = Reader(entropy.array(count))
            var read = 0
            for _ in 0..<entropy.below(12) {
                let before = reader.remaining
                do throws(WireError) {
                    switch entropy.below(9) {
                    case 0: _ = try reader.uint8()
                    case 1: _ = try reader.uint16()
                    case 2: _ = try reader.uint32()
                    case 3: _ = try reader.uint64()
                    case 4: _ = try reader.fixed(Bytes32.self)
                    case 5: _ = try reader.bytes(entropy.below(100) - 10)
                    case 6: _ = try reader.prefixed(limit: entropy.below(100), field: "x")
                    case 7: _ = try reader.string(limit: 50, field: "x")
                    default: _ = reader.rest()
                    }
                } catch { #expect(reader.remaining <= before) }
                read += before - reader.remaining
                #expect(read + reader.remaining == count)
            }
        }
    }
}

@Suite("A socket address")
struct SocketAddressTests {
    private func address(_ groups: [UInt16], _ port: UInt16) throws -> SocketAddress {
        let raw = groups.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
        return SocketAddress(address: try #require(Bytes16(raw)), port: port)
    }

    @Test("is 18 bytes: IPv4 in its mapped form, the port little-endian")
    func layout() throws {
        var writer = Writer()
        SocketAddress(v4: (127, 0, 0, 1), port: 0x1234).encode(&writer)
        #expect(writer.bytes == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 0x34, 0x12])
        #expect(writer.bytes.count == SocketAddress.encodedSize)
        var reader = Reader(writer.bytes)
        #expect(try SocketAddress(&reader) == SocketAddress(v4: (127, 0, 0, 1), port: 0x1234))
        var short = Reader(Array(writer.bytes.dropLast()))
        #expect(throws: WireError.truncated) { try SocketAddress(&short) }
    }

    @Test("prints as addresses are written, and knows the network it is in")
    func text() throws {
        let v4 = SocketAddress(v4: (192, 0, 2, 7), port: 80)
        #expect(v4.description == "192.0.2.7:80")
        #expect(v4.host == "192.0.2.7")
        #expect(v4.v4 == [192, 0, 2, 7])
        #expect(v4.prefix == [192, 0])
        let v6 = try address([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x1a], 443)
        #expect(v6.description == "[2001:db8:0:0:0:0:0:1a]:443")
        #expect(v6.v4 == nil)
        #expect(v6.prefix == [0x20, 0x01, 0x0d, 0xb8])
        // Almost mapped: one bit off.
        #expect(try address([0, 0, 0, 0, 1, 0xffff, 1, 2], 1).v4 == nil)
        #expect(try address([0, 0, 0, 0, 0, 0xfffe, 1, 2], 1).v4 == nil)
    }
}

@Suite("A timestamp")
struct TimestampTests {
    @Test("counts seconds and days since 1970, and saturates instead of overflowing")
    func arithmetic() {
        #expect(Timestamp(seconds: 86_399).epoch == 0)
        #expect(Timestamp(seconds: 86_400).epoch == 1)
        #expect(Timestamp(milliseconds: 86_400_000).seconds == 86_400)
        #expect(Timestamp(seconds: 5).adding(seconds: 2) == Timestamp(milliseconds: 7000))
        #expect(Timestamp(seconds: 5).adding(milliseconds: .max) == Timestamp(milliseconds: .max))
        #expect(Timestamp(seconds: 5).adding(seconds: .max) == Timestamp(milliseconds: .max))
        #expect(Timestamp(seconds: 5).milliseconds(since: Timestamp(seconds: 3)) == 2000)
        #expect(Timestamp(seconds: 3).milliseconds(since: Timestamp(seconds: 5)) == 0)
        #expect(Timestamp(seconds: 3) < Timestamp(seconds: 4))
    }

    @Test("of more seconds than it can hold is the last moment, not an early one")
    func hugeSeconds() {
        #expect(Timestamp(seconds: .max) == Timestamp(milliseconds: .max))
        #expect(Timestamp(seconds: UInt64.max / 1000 + 1) == Timestamp(milliseconds: .max))
    }
}
