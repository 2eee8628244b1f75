import Foundation
import Primitives

/// Looks through all memory of this process that can be written: the heap, the stacks, and the data of libraries.
public final class MemoryScan {
    private static let chunk = 1 << 20
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 4096)

    public init() {}

    deinit {
        SecretBytes.zero(room)
        room.deallocate()
    }

    /// How often `secret` lies in memory that can be read, its own bytes aside.
    public func count(_ secret: borrowing SecretBytes) throws -> Int {
        let memory = open("/proc/self/mem", O_RDONLY)
        guard memory >= 0 else { throw CocoaError(.fileReadNoPermission) }
        defer { close(memory) }
        let ranges = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8).split(separator: "\n")
            .compactMap { line -> Range<UInt64>? in
                let fields = line.split(separator: " ")
                let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
                guard ends.count == 2, fields[1].hasPrefix("rw") else { return nil }
                return ends[0]..<ends[1]
            }
        return secret.withUnsafeBytes { needle in
            let own = UInt64(UInt(bitPattern: needle.baseAddress))
            var places: Set<UInt64> = []
            for range in ranges {
                // What lies across two chunks is found too.
                for start in stride(from: range.lowerBound, to: range.upperBound, by: MemoryScan.chunk - needle.count) {
                    let size = min(MemoryScan.chunk, Int(range.upperBound - start))
                    let read = pread(memory, room.baseAddress, size, off_t(start))
                    guard read > 0 else { continue }
                    places.formUnion(self.places(of: needle, in: read).map { start + UInt64($0) })
                }
            }
            SecretBytes.zero(room)
            let scanned = UInt64(UInt(bitPattern: room.baseAddress))
            return places.count { $0 != own && !(scanned..<scanned + UInt64(MemoryScan.chunk)).contains($0) }
        }
    }

    private func places(of needle: UnsafeRawBufferPointer, in count: Int) -> [Int] {
        guard let base = room.baseAddress, let pattern = needle.baseAddress else { return [] }
        var found: [Int] = []
        var from = 0
        while from + needle.count <= count, let hit = memchr(base + from, Int32(needle[0]), count - from) {
            let place = UnsafeRawPointer(hit) - UnsafeRawPointer(base)
            if place + needle.count <= count, memcmp(hit, pattern, needle.count) == 0 { found.append(place) }
            from = place + 1
        }
        return found
    }
}
