import Primitives
import Wire

/// A number that solves a puzzle, and the challenge of the holder that the puzzle is made with.
public struct PuzzleProof: Hashable, Sendable {
    static let encodedSize = Bytes16.count + 8

    public let challenge: Bytes16
    public let solution: UInt64

    public init(challenge: Bytes16, solution: UInt64) {
        self.challenge = challenge
        self.solution = solution
    }

    /// - Returns: `nil` for zeros: a publisher that has not been challenged.
    static func decode(_ reader: inout Reader) throws(WireError) -> PuzzleProof? {
        let proof = PuzzleProof(challenge: try reader.fixed(), solution: try reader.uint64())
        guard proof.challenge == Bytes16() else { return proof }
        guard proof.solution == 0 else { throw .outOfRange(field: "solution") }
        return nil
    }

    static func encode(_ proof: PuzzleProof?, _ writer: inout Writer) {
        writer.fixed(proof?.challenge ?? Bytes16())
        writer.uint64(proof?.solution ?? 0)
    }
}

/// What a put shows of work (specs/directory.md, "Puzzles"), and so what its publisher understands.
public enum PutEffort: Hashable, Sendable {
    /// Nothing: another server, or a publisher that may know no challenges.
    case none
    /// A solution of a publisher that knows no challenges; it can have been found at any time.
    case unchallenged(UInt64)
    /// Of a publisher that knows challenges: what it has found, if it was challenged.
    case challenged(PuzzleProof?)

    public func put(_ record: [UInt8]) -> DirectoryMessage {
        switch self {
        case .none: .put(record: record)
        case .unchallenged(let solution): .solvedPut(record: record, solution: solution)
        case .challenged(let proof): .challengedPut(record: record, proof)
        }
    }
}
