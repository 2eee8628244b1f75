import Glibc

/// One figure of an experiment.
public struct ResultRow: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        /// So many of so many, with a 95 % Wilson interval.
        case share(Proportion)
        /// A number and its unit.
        case number(Double, unit: String)
    }

    public let name: String
    public let value: Value

    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }

    /// How much virtual time passed for a network: with it and a clock follows the speed of the simulation.
    public static func virtualTime(milliseconds: UInt64) -> ResultRow {
        ResultRow(virtualTimeName, .number(Double(milliseconds) / 1000, unit: "s"))
    }

    /// How much virtual time lookups took, one after another, while none passed for the network.
    static func lookupTime(milliseconds: UInt64) -> ResultRow {
        ResultRow("time of lookups, one after another", .number(Double(milliseconds) / 1000, unit: "s"))
    }

    private static let virtualTimeName = "virtual time"

    /// Virtual seconds, if that is what the row is about.
    public var virtualSeconds: Double? {
        guard name == ResultRow.virtualTimeName, case .number(let seconds, _) = value else { return nil }
        return seconds
    }

    /// A line of a table: name, figure, interval.
    public var text: String {
        switch value {
        case .share(let share): "\(name): \(share)"
        case .number(let number, let unit): "\(name): \(Self.rounded(number))" + (unit.isEmpty ? "" : " \(unit)")
        }
    }

    static func rounded(_ number: Double) -> String {
        guard number.isFinite else { return "\(number)" }
        if let whole = Int(exactly: number) { return "\(whole)" }
        let scale = Glibc.fabs(number) < 10 ? 1000.0 : 10.0
        return "\((number * scale).rounded() / scale)"
    }
}

/// Successes among trials.
public struct Proportion: Sendable, Equatable, CustomStringConvertible {
    public private(set) var successes: Int
    public private(set) var trials: Int

    public init(successes: Int = 0, trials: Int = 0) {
        self.successes = successes
        self.trials = trials
    }

    public mutating func count(_ isSuccess: Bool) {
        trials += 1
        if isSuccess { successes += 1 }
    }

    public mutating func add(_ other: Proportion) {
        trials += other.trials
        successes += other.successes
    }

    /// 0 without trials.
    public var value: Double { trials == 0 ? 0 : Double(successes) / Double(trials) }

    /// The 95 % interval of Wilson (1927), which is sound at shares of 0 and 1 too.
    public var interval: (low: Double, high: Double) {
        guard trials > 0 else { return (0, 1) }
        let z = 1.959964
        let count = Double(trials)
        let middle = (value + z * z / (2 * count)) / (1 + z * z / count)
        let half = z / (1 + z * z / count) * (value * (1 - value) / count + z * z / (4 * count * count)).squareRoot()
        return (max(0, middle - half), min(1, middle + half))
    }

    public var description: String {
        guard trials > 0 else { return "not measured: 0 of 0, too few trials" }
        func percent(_ share: Double) -> String { "\((share * 1_000_000).rounded() / 10_000)" }
        let (low, high) = interval
        return "\(percent(value)) % (\(successes) of \(trials); 95 %: \(percent(low)) to \(percent(high)) %)"
    }
}

/// Numbers whose ranks are asked for.
struct RankedSample: Sendable {
    private(set) var values: [Double] = []

    mutating func add(_ value: Double) { values.append(value) }

    /// The value below which the share lies; 0 without values.
    func quantile(_ share: Double) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }

    var mean: Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }
}
