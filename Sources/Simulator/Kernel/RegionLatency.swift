import Primitives

/// Round trips between places of the world: what was measured between regions of a large cloud, and a few milliseconds of
/// access on both sides. `Data/round-trips.txt` has the numbers and says where they are from.
struct RegionLatency: Sendable {
    /// The line of the table that is not as it should be.
    struct Malformed: Error, Equatable {
        let line: Int
    }

    /// The table that is part of the program.
    private static let world: RegionLatency = {
        do throws(Malformed) {
            return try RegionLatency(table: String(decoding: PackageResources.round_trips_txt, as: UTF8.self))
        } catch {
            preconditionFailure("Data/round-trips.txt, line \(error.line)")
        }
    }()

    let names: [String]
    /// One-way milliseconds from each region to each.
    private let oneWay: [Double]
    /// Each region as often as it has percent of the world's servers and users.
    private let draw: [Int]

    init() { self = RegionLatency.world }

    /// - Parameter table: a line for each region: name, percent, round trips to the regions from the first line to this.
    init(table: String) throws(Malformed) {
        var names: [String] = []
        var percents: [Int] = []
        var rows: [[Int]] = []
        for (number, line) in table.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty && !line.hasPrefix("#") {
            let fields = line.split(separator: " ")
            let numbers = fields.dropFirst().compactMap { Int($0) }
            guard let name = fields.first, let percent = numbers.first, numbers.count == rows.count + 2,
                fields.count == rows.count + 3, (0...100).contains(percent),
                numbers.dropFirst().allSatisfy({ (0...10_000).contains($0) })
            else { throw Malformed(line: number + 1) }
            names.append(String(name))
            percents.append(percent)
            rows.append(Array(numbers.dropFirst()))
        }
        guard percents.reduce(0, +) == 100 else { throw Malformed(line: 0) }
        self.names = names
        draw = percents.indices.flatMap { [Int](repeating: $0, count: percents[$0]) }
        oneWay = rows.indices.flatMap { from in
            rows.indices.map { to in Double(rows[max(from, to)][min(from, to)]) / 2 }
        }
    }

    /// Where a node or a user is.
    func region(_ entropy: inout Entropy) -> Int { draw[entropy.below(draw.count)] }

    /// The measured milliseconds there and back, without access.
    func roundTrip(_ from: Int, _ to: Int) -> Double { 2 * oneWay[from * names.count + to] }

    /// Milliseconds one way, with 2 to 12 ms of access and queues.
    func delay(_ from: Int, _ to: Int, _ entropy: inout Entropy) -> Double {
        oneWay[from * names.count + to] + 2 + 10 * entropy.unit() * entropy.unit()
    }

    /// The median round trip between two that are drawn at random.
    func medianRoundTrip(_ entropy: inout Entropy) -> Double {
        var sample = RankedSample()
        for _ in 0..<20_000 {
            let from = region(&entropy)
            let to = region(&entropy)
            sample.add(delay(from, to, &entropy) + delay(to, from, &entropy))
        }
        return sample.quantile(0.5)
    }
}
