/// What lies between servers: distance, jitter, and walls.
struct Network: Sendable {
    /// Milliseconds one way between each two servers, row by row; empty for none.
    var distances: [[Int]] = []
    /// Up to so many milliseconds more, drawn for each packet, so that packets overtake each other.
    var jitter = 20
    /// The side of each server in a partition; servers that are not named are on side 0.
    var sides: [Int: Int] = [:]
    /// Pairs (from, to) between which nothing passes in this direction.
    var deaf: Set<[Int]> = []
    /// Map links that stand.
    var open: Set<MapLink> = []

    func reaches(_ from: Int, _ to: Int) -> Bool {
        sides[from, default: 0] == sides[to, default: 0] && (deaf.isEmpty || !deaf.contains([from, to]))
    }

    func delay(_ from: Int, _ to: Int) -> Int {
        guard distances.indices.contains(from), distances[from].indices.contains(to) else { return 0 }
        return distances[from][to]
    }
}
