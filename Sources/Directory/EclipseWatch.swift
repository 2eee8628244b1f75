import Glibc
import Primitives
import Records
import Wire

/// Notices when somebody gathers around a place, or replaces the network that this server knew
/// (specs/directory.md, "Alarms").
///
/// Every test has a probability under an honest network, where places are uniform and joins independent. All of a day's
/// tests together stay below ``dailyFalseAlarms``.
public struct EclipseWatch: Sendable {
    public enum Alarm: Hashable, Sendable {
        /// So many nodes lie where so many hundredths of a node are expected.
        case density(nodes: Int, hundredths: Int)
        /// So many joined from one prefix within an hour.
        case joinRate(joins: Int)
        /// Of so many servers of the last run so few answered, while strangers did.
        case anchors(answered: Int, of: Int)
        /// The map has so many nodes now and had so many before.
        case size(now: Int, before: Int)
        /// Where a search ended so many nodes answered where so many hundredths of a node are expected.
        case crowd(nodes: Int, hundredths: Int)
        /// So many nodes sent false records in one search.
        case falseRecords(nodes: Int)
        /// Of so many nodes where a search ended so many are on no map.
        case strangers(nodes: Int, of: Int)

        /// An alarm of one kind is given once in ``EclipseWatch/quiet``.
        public enum Kind: String, CaseIterable, Sendable {
            case density
            case joinRate = "join_rate"
            case anchors
            case size
            case crowd
            case falseRecords = "false_records"
            case strangers
        }

        public var kind: Kind {
            switch self {
            case .density: .density
            case .joinRate: .joinRate
            case .anchors: .anchors
            case .size: .size
            case .crowd: .crowd
            case .falseRecords: .falseRecords
            case .strangers: .strangers
            }
        }
    }

    /// False alarms a day, of all tests together.
    static let dailyFalseAlarms = 0.001
    /// Rounds of tests a day.
    static let rounds = 24
    static let roundInterval: UInt64 = 3_600_000
    /// Keys whose four places are watched, beside the own place.
    public static let keyLimit = 16
    /// Scales: the arc that ends at the fifth node and at the twentieth.
    static let scales = [5, 20]
    /// Prefixes whose joins are counted one by one.
    static let prefixLimit = 256
    /// Milliseconds for which an alarm holds, and for which it is not repeated.
    public static let quiet: UInt64 = 3_600_000
    /// Milliseconds after the start before join rates are judged.
    static let learning: UInt64 = 6 * 3_600_000
    /// Fewer nodes are too few to judge.
    static let least = 50

    /// The nearest to a search's target that are judged: the arc that ends at the fifth, the tenth and so on.
    static let crowdScales = [5, 10, 20, 40]
    /// Searches and looks at contacts judged in a day. Some are kept for the looks: anybody can make a server search.
    static let crowdLimit = 10_000
    private static let looks = rounds * (keyLimit + 1)
    /// By how much the network may be larger than the map, and the part of it that is on no map then.
    static let crowdSlack = 1.1
    static let strangerShare = 1 - 1 / crowdSlack
    /// Nodes that send false records in one search: one may be anybody, so many are a plan.
    static let falseRecordLimit = 3

    // A quarter of the day's false alarms for each of the four kinds that have a probability.
    private static let share = dailyFalseAlarms / 4
    static let densityThreshold = share / Double(rounds * scales.count * (Placement.rings * keyLimit + 1 + keyLimit))
    private static let joinThreshold = share / Double(rounds * prefixLimit)
    static let crowdThreshold = share / Double(crowdLimit * crowdScales.count)

    private let started: Timestamp
    private var last: [Alarm.Kind: (alarm: Alarm, at: Timestamp)] = [:]
    private var hour: Timestamp
    private var joins: [UInt64: Int] = [:]
    /// Joins an hour, smoothed over eight.
    private var usualJoins = 0.0
    private var lastSize: (count: Int, at: Timestamp)?
    private var searches: (day: UInt64, judged: Int) = (0, 0)

    public init(now: Timestamp) {
        started = now
        hour = now
    }

    /// Whether an alarm holds.
    public func isAlarmed(at now: Timestamp) -> Bool {
        last.values.contains { now.milliseconds(since: $0.at) < EclipseWatch.quiet }
    }

    /// The alarms that hold, and how many milliseconds longer each does.
    func standing(at now: Timestamp) -> [(alarm: Alarm, left: UInt64)] {
        Alarm.Kind.allCases.compactMap { kind in
            guard let last = last[kind] else { return nil }
            let age = now.milliseconds(since: last.at)
            return age < EclipseWatch.quiet ? (last.alarm, EclipseWatch.quiet - age) : nil
        }
    }

    private mutating func raise(_ alarm: Alarm, _ now: Timestamp) -> Alarm? {
        if let last = last[alarm.kind], now.milliseconds(since: last.at) < EclipseWatch.quiet { return nil }
        last[alarm.kind] = (alarm, now)
        return alarm
    }

    /// The probability that a Poisson variable of this mean is at least `count`.
    static func tail(_ count: Int, mean: Double) -> Double {
        guard count > 0 else { return 1 }
        guard mean > 0 else { return 0 }
        // Far above the count the answer is near one; far below it the first terms are all that counts.
        guard mean < 700 else { return Double(count) <= mean ? 1 : 0 }
        var term = exp(Double(count) * log(mean) - mean - lgamma(Double(count) + 1))
        var sum = 0.0
        for step in 0..<2000 {
            sum += term
            term *= mean / Double(count + step + 1)
            if term < sum * 1e-12 { break }
        }
        return min(sum, 1)
    }

    /// The probability that of `size` nodes, each of which is a stranger with `share`, at least `count` are.
    static func tail(_ count: Int, of size: Int, share: Double) -> Double {
        guard count > 0 else { return 1 }
        guard count <= size else { return 0 }
        let sum = (count...size).reduce(0.0) { sum, strangers in
            let (part, rest) = (Double(strangers), Double(size - strangers))
            let ways = lgamma(Double(size) + 1) - lgamma(part + 1) - lgamma(rest + 1)
            return sum + exp(ways + part * log(share) + rest * log(1 - share))
        }
        return min(sum, 1)
    }

    /// `count` nodes lie where an honest network has `mean`.
    public mutating func density(nodes count: Int, mean: Double, now: Timestamp) -> Alarm? {
        guard EclipseWatch.tail(count, mean: mean) < EclipseWatch.densityThreshold else { return nil }
        return raise(.density(nodes: count, hundredths: Int(min(mean * 100, 1e9))), now)
    }

    /// The places of `keys` and the own place, on this map, and who lies beside the keys where searches look for them.
    public mutating func check(_ placement: Placement, own: NodeID, keys: [VerifyingKey], now: Timestamp) -> Alarm? {
        guard placement.nodeCount >= EclipseWatch.least else { return nil }
        var places = keys.prefix(EclipseWatch.keyLimit).flatMap { key in
            (0..<Placement.rings).map { Placement.index(of: key, ring: $0) }
        }
        places.append(placement.placeAfter(own))
        var found: Alarm?
        for place in places {
            for scale in EclipseWatch.scales {
                let mean = placement.arc(from: place, toNode: scale) * Double(placement.nodeCount)
                if let alarm = density(nodes: scale, mean: mean, now: now) { found = alarm }
            }
        }
        for key in keys.prefix(EclipseWatch.keyLimit) {
            let target = placement.searchTarget(of: key)
            let near = placement.closest(to: target, EclipseWatch.scales.max() ?? 0).map { $0.id.distance(to: target) }
            for scale in EclipseWatch.scales where near.count >= scale {
                let mean = Double(near[scale - 1].leadingWord) / 0x1p64 * Double(placement.nodeCount)
                if let alarm = density(nodes: scale, mean: mean, now: now) { found = alarm }
            }
        }
        return found
    }

    /// Somebody of a prefix came into the routing table.
    /// - Parameter share: of the table's contacts, the part with this prefix.
    public mutating func joined(prefix: UInt64, share: Double, now: Timestamp) -> Alarm? {
        let hours = now.milliseconds(since: hour) / EclipseWatch.roundInterval
        if hours > 0 {
            let total = Double(joins.values.reduce(0, +))
            usualJoins = usualJoins == 0 ? total : (7 * usualJoins + total / Double(hours)) / 8
            joins = [:]
            hour = now
        }
        guard joins[prefix] != nil || joins.count < EclipseWatch.prefixLimit else { return nil }
        joins[prefix, default: 0] += 1
        guard now.milliseconds(since: started) >= EclipseWatch.learning else { return nil }
        // Twice the usual, for days are not alike; and never less than one an hour.
        let mean = max(1, 2 * usualJoins * max(share, 0.02))
        let count = joins[prefix, default: 0]
        guard EclipseWatch.tail(count, mean: mean) < EclipseWatch.joinThreshold else { return nil }
        return raise(.joinRate(joins: count), now)
    }

    /// Who answered near the target of a search, in a network of so many nodes: identities are free, so that an attacker
    /// tries until many lie beside a key; those of an honest network lie anywhere, and so do those of them that are on no
    /// map yet.
    /// - Parameters:
    ///   - distances: in ascending order; the target itself, if it is a node, does not count.
    ///   - strangers: how far those are that are on no map.
    ///   - isLook: whether these are contacts that the server knows, and not those that answered in a search.
    public mutating func crowd(
        _ distances: [Bytes32], strangers: Set<Bytes32> = [], nodes: Int, isLook: Bool = false, now: Timestamp
    ) -> Alarm? {
        if searches.day != now.epoch { searches = (now.epoch, 0) }
        let limit = EclipseWatch.crowdLimit - (isLook ? 0 : EclipseWatch.looks)
        guard nodes >= EclipseWatch.least, searches.judged < limit else { return nil }
        searches.judged += 1
        let others = distances.filter { $0 != Bytes32() }
        for scale in EclipseWatch.crowdScales where others.count >= scale {
            let part = Double(others[scale - 1].leadingWord) / 0x1p64
            let mean = part * Double(nodes) * EclipseWatch.crowdSlack
            if EclipseWatch.tail(scale, mean: mean) < EclipseWatch.crowdThreshold {
                return raise(.crowd(nodes: scale, hundredths: Int(min(mean * 100, 1e9))), now)
            }
            let unknown = others.prefix(scale).count { strangers.contains($0) }
            let chance = EclipseWatch.tail(unknown, of: scale, share: EclipseWatch.strangerShare)
            if chance < EclipseWatch.crowdThreshold { return raise(.strangers(nodes: unknown, of: scale), now) }
        }
        return nil
    }

    /// So many nodes sent false records in one search.
    public mutating func falseRecords(_ nodes: Int, now: Timestamp) -> Alarm? {
        nodes >= EclipseWatch.falseRecordLimit ? raise(.falseRecords(nodes: nodes), now) : nil
    }

    /// After a restart: how many of the servers of the last run answered, and how many others did.
    public mutating func anchors(answered: Int, of all: Int, strangers: Int, now: Timestamp) -> Alarm? {
        // Nearly all of a network does not vanish while a new one appears.
        guard all >= 8, strangers >= RoutingTable.k, answered * 8 < all else { return nil }
        return raise(.anchors(answered: answered, of: all), now)
    }

    /// The clock went back: alarms hold no longer than they would have, and hours end.
    mutating func turnBack(by amount: UInt64) {
        last = last.mapValues { ($0.alarm, $0.at.earlier(by: amount)) }
        hour = hour.earlier(by: amount)
        lastSize = lastSize.map { ($0.count, $0.at.earlier(by: amount)) }
    }

    /// The map's size, compared with that of an hour ago.
    public mutating func size(_ count: Int, now: Timestamp) -> Alarm? {
        guard let before = lastSize else {
            lastSize = (count, now)
            return nil
        }
        if now.milliseconds(since: before.at) >= EclipseWatch.roundInterval { lastSize = (count, now) }
        guard max(count, before.count) >= EclipseWatch.least, before.count > 0 else { return nil }
        guard 2 * count >= 3 * before.count || 3 * count <= 2 * before.count else { return nil }
        lastSize = (count, now)
        return raise(.size(now: count, before: before.count), now)
    }
}
