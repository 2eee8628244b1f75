import Primitives
import Records
import Wire

/// Work that a holder under load demands before it looks at a record: a number with which a hash begins with zero bits
/// (specs/directory.md, "Puzzles"). It is spent on one record at one holder, and checked with one hash.
public struct PutPuzzle: Sendable {
    /// Zero bits that can be demanded: at most some 65,000 hashes in the mean, a few hundredths of a second.
    public static let levels = 8...16

    private static let unchallengedDomain = Domain("hulda/dir-puzzle")
    private static let challengedDomain = Domain("hulda/dir-puzz-2")

    /// Of the holder and of now; `nil` in puzzles of the version before this one, which can be solved ahead.
    let challenge: Bytes16?
    /// A' 32 ‖ epoch 8 ‖ sequence 8 ‖ the holder's node ID 32 ‖ its challenge 16, if any ‖ room for the number 8.
    private var message: [UInt8]

    public init(_ record: DirectoryRecord, holder: NodeID, challenge: Bytes16?) {
        self.init(
            key: record.blindedKey, epoch: record.epoch, sequence: record.sequence, holder: holder,
            challenge: challenge)
    }

    init(key: VerifyingKey, epoch: UInt64, sequence: UInt64, holder: NodeID, challenge: Bytes16?) {
        self.challenge = challenge
        var writer = Writer(capacity: 104)
        writer.fixed(key.bytes)
        writer.uint64(epoch)
        writer.uint64(sequence)
        writer.fixed(holder)
        if let challenge { writer.fixed(challenge) }
        writer.uint64(0)
        message = writer.bytes
    }

    /// Zero bits at the beginning of the digest.
    mutating func strength(of solution: UInt64) -> Int { digest(solution).leadingZeros }

    /// `H("hulda/dir-puzz-2", A' ‖ epoch ‖ sequence ‖ holder ‖ challenge ‖ solution)`; without a challenge under
    /// `hulda/dir-puzzle`.
    mutating func digest(_ solution: UInt64) -> Bytes32 {
        message.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: solution.littleEndian, toByteOffset: raw.count - 8, as: UInt64.self)
        }
        let domain = challenge == nil ? PutPuzzle.unchallengedDomain : PutPuzzle.challengedDomain
        return Bytes32(unsafe: { out in message.withUnsafeBytes { BLAKE2b.hash(into: out, $0, domain: domain) } })
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

    /// What the solution, once it is there, is worth to the holder.
    public var effort: PutEffort? {
        guard let solution else { return nil }
        return puzzle.challenge.map { .challenged(PuzzleProof(challenge: $0, solution: solution)) }
            ?? .unchallenged(solution)
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
