import Primitives
import Records
import Wire

/// Work that a holder under load demands before it looks at a record: a number with which a hash begins with zero bits
/// (specs/directory.md, "Puzzles"). It is spent on one record at one holder, and checked with one hash.
public struct PutPuzzle: Sendable {
    /// Zero bits that can be demanded: at most some 65,000 hashes in the mean, a few hundredths of a second.
    public static let levels = 8...16

    /// A' 32 ‖ epoch 8 ‖ sequence 8 ‖ the holder's node ID 32 ‖ room for the number 8.
    private var message: [UInt8]

    public init(_ record: DirectoryRecord, holder: NodeID) {
        self.init(key: record.blindedKey, epoch: record.epoch, sequence: record.sequence, holder: holder)
    }

    init(key: VerifyingKey, epoch: UInt64, sequence: UInt64, holder: NodeID) {
        var writer = Writer(capacity: 88)
        writer.fixed(key.bytes)
        writer.uint64(epoch)
        writer.uint64(sequence)
        writer.fixed(holder)
        writer.uint64(0)
        message = writer.bytes
    }

    /// Zero bits at the beginning of `H("hulda/dir-puzzle", A' ‖ epoch ‖ sequence ‖ holder ‖ solution)`.
    mutating func strength(of solution: UInt64) -> Int { digest(solution).leadingZeros }

    mutating func digest(_ solution: UInt64) -> Bytes32 {
        message.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: solution.littleEndian, toByteOffset: raw.count - 8, as: UInt64.self)
        }
        return Bytes32(unsafe: { out in
            message.withUnsafeBytes { BLAKE2b.hash(into: out, $0, domain: Domain("hulda/dir-puzzle")) }
        })
    }
}

/// Looks for a puzzle's solution in steps, so that nobody waits for it.
public struct PuzzleSolver: Sendable {
    /// Hashes in one step: about a millisecond.
    public static let stepSize = 4096
    /// After so many times the expected number of hashes it gives up; that happens to one of 10^13.
    private static let patience: UInt64 = 32

    private var puzzle: PutPuzzle
    private let level: Int
    private var next: UInt64 = 0
    public private(set) var solution: UInt64?
    /// Whether there is nothing more to do.
    public private(set) var isOver = false

    /// - Returns: `nil` when more is demanded than anybody may.
    public init?(_ puzzle: PutPuzzle, level: Int) {
        guard level <= PutPuzzle.levels.upperBound else { return nil }
        self.puzzle = puzzle
        self.level = level
    }

    public mutating func step() {
        let end = next + UInt64(PuzzleSolver.stepSize)
        while !isOver, next < end {
            if puzzle.strength(of: next) >= level {
                solution = next
                isOver = true
            }
            next += 1
        }
        if next >= PuzzleSolver.patience << UInt64(level) { isOver = true }
    }
}
