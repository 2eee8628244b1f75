import Wire

/// How much work a put costs at the moment: nothing while few come and there is room, and twice as much for each
/// doubling of either pressure. What was demanded lately is still enough, so that an honest publisher pays once.
struct PuzzleGate: Sendable {
    /// Milliseconds in which the memory of a put fades.
    private static let memory: UInt64 = 10_000
    /// Milliseconds in which the lowest demand is kept, and as long again.
    private static let window: UInt64 = 8000

    /// Puts of the last seconds.
    private(set) var load = 0.0
    private var counted: Timestamp?
    private var windowStart: Timestamp?
    private var lowest: Int?
    private var lowestBefore: Int?

    /// A put has come that may cost something.
    mutating func count(_ now: Timestamp) {
        let passed = now.milliseconds(since: counted ?? now)
        load *= 1 - Double(min(passed, PuzzleGate.memory)) / Double(PuzzleGate.memory)
        load += 1
        counted = max(counted ?? now, now)
    }

    /// - Parameters:
    ///   - free: puts of the last seconds that cost nothing.
    ///   - fullness: of what the store may hold, from 0 to 1; 0 for a record that needs no room.
    func level(free: Int, fullness: Double) -> Int {
        max(PuzzleGate.level(load: load, free: free), PuzzleGate.level(fullness: fullness))
    }

    private static func level(load: Double, free: Int) -> Int {
        guard free > 0, load >= Double(free) else { return 0 }
        let ratio = UInt64(min(load / Double(free), 1e9))
        return min(PutPuzzle.levels.upperBound, PutPuzzle.levels.lowerBound + (63 - ratio.leadingZeroBitCount))
    }

    /// Nothing up to a half, and from there on a bit more for each sixteenth.
    private static func level(fullness: Double) -> Int {
        guard fullness >= 0.5 else { return 0 }
        let steps = Int((min(fullness, 1) - 0.5) * 16)
        return min(PutPuzzle.levels.upperBound, PutPuzzle.levels.lowerBound + steps)
    }

    /// Whether a solution suffices; if not, what to demand is remembered.
    /// - Parameter strength: zero bits; `nil` without a solution.
    mutating func admits(_ strength: Int?, level: Int, _ now: Timestamp) -> Bool {
        guard level > 0 else { return true }
        roll(now)
        let least = min(level, lowest ?? level, lowestBefore ?? level)
        if let strength, strength >= least { return true }
        lowest = min(lowest ?? level, level)
        return false
    }

    private mutating func roll(_ now: Timestamp) {
        let passed = now.milliseconds(since: windowStart ?? now)
        if windowStart != nil, passed < PuzzleGate.window { return }
        lowestBefore = windowStart != nil && passed < 2 * PuzzleGate.window ? lowest : nil
        lowest = nil
        windowStart = now
    }
}
