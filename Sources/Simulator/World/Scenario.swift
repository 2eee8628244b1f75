import Wire

/// What a run of a world is made of: its size, its network, its users' habits and what goes wrong when.
///
/// Files of scenarios (specs/scenarios) decode into it; fields that are left out have the values below. All times are
/// seconds of virtual time, shares are in thousandths.
public struct Scenario: Codable, Equatable, Sendable {
    /// Something that goes wrong.
    public struct Fault: Codable, Equatable, Sendable {
        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// `count` servers crash, and start again after `seconds`.
            case crash
            /// As ``crash``, at a moment within the handling of an event: before or after the commit, between effects.
            case crashInside = "crash-inside"
            /// `count` agents are killed within an event, and start again after `seconds`.
            case kill
            /// `count` servers and the agents of that share reach only each other.
            case partition
            /// `count` pairs of servers: one reaches the other, which does not reach it.
            case oneWay = "one-way"
            /// The stores of `count` servers are full: they delete, and put nothing.
            case full
            /// The disks under the stores and journals of `count` servers are full: nothing is written.
            case diskFull = "disk-full"
            /// `count` users move to another home.
            case move
            /// The clocks of `count` servers jump by `amount` seconds, and back after `seconds`.
            case clock
            /// The same of the clocks of `count` agents.
            case agentClock = "agent-clock"
            /// All machines and what is on its way stand still for `seconds`, and clocks go on: what was due is late.
            case standstill
        }

        public var kind: Kind
        /// When, counted from the end of the warm-up.
        public var at: UInt64
        /// How long.
        public var seconds: UInt64
        public var count: Int
        public var amount: Int64

        public init(_ kind: Kind, at: UInt64, seconds: UInt64 = 30, count: Int = 1, amount: Int64 = 0) {
            self.kind = kind
            self.at = at
            self.seconds = seconds
            self.count = count
            self.amount = amount
        }

        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            kind = try values.decode(Kind.self, forKey: .kind)
            at = try values.decode(UInt64.self, forKey: .at)
            seconds = try values.decodeIfPresent(UInt64.self, forKey: .seconds) ?? 30
            count = try values.decodeIfPresent(Int.self, forKey: .count) ?? 1
            amount = try values.decodeIfPresent(Int64.self, forKey: .amount) ?? 0
        }
    }

    /// Servers that lie from the start to the end.
    public struct Liars: Codable, Equatable, Sendable {
        public var conduct: Conduct
        public var count: Int

        public init(_ conduct: Conduct, count: Int) {
            self.conduct = conduct
            self.count = count
        }
    }

    public var description = ""
    public var servers = 9
    public var agents = 4
    /// Address prefixes that the servers share.
    public var prefixes = 10_000
    /// Servers of each cluster.
    public var clusterSize = 1
    /// Epochs for which all clusters have been on each other's maps before.
    public var history = 0
    /// Envelopes that each server passes on in a second; 0 for any number.
    public var carries = 0
    /// Loops of each relay in a minute.
    public var loops = 6.0
    /// Whether relays measure each other's capacity.
    public var measuring = false
    /// Second of the day at which it begins; noon.
    public var start: UInt64 = 43_200
    /// How long things go wrong, after a warm-up of ``warmUp`` seconds.
    public var seconds: UInt64 = 120
    /// How long everything is well again before the last check.
    public var settle: UInt64 = 180
    /// Messages that each agent sends, spread over `seconds`.
    public var messages = 3
    /// Lookups that each agent makes, spread over `seconds`.
    public var lookups = 2
    /// Times that each user replaces his keys or changes his homes, spread over `seconds`: each makes a new record.
    public var changes = 1
    /// Envelopes a second of each agent.
    public var rate = 2.0
    public var loss = 0
    public var duplicates = 0
    public var reordered = 0
    /// Clocks are wrong by up to so many milliseconds.
    public var skew = 0
    public var liars: [Liars] = []
    public var faults: [Fault] = []

    /// Seconds in which the map spreads and users register, on a perfect network.
    public static let warmUp: UInt64 = 60

    public init() {}

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        description = try values.decodeIfPresent(String.self, forKey: .description) ?? description
        servers = try values.decodeIfPresent(Int.self, forKey: .servers) ?? servers
        agents = try values.decodeIfPresent(Int.self, forKey: .agents) ?? agents
        prefixes = try values.decodeIfPresent(Int.self, forKey: .prefixes) ?? prefixes
        clusterSize = try values.decodeIfPresent(Int.self, forKey: .clusterSize) ?? clusterSize
        history = try values.decodeIfPresent(Int.self, forKey: .history) ?? history
        loops = try values.decodeIfPresent(Double.self, forKey: .loops) ?? loops
        carries = try values.decodeIfPresent(Int.self, forKey: .carries) ?? carries
        measuring = try values.decodeIfPresent(Bool.self, forKey: .measuring) ?? measuring
        start = try values.decodeIfPresent(UInt64.self, forKey: .start) ?? start
        seconds = try values.decodeIfPresent(UInt64.self, forKey: .seconds) ?? seconds
        settle = try values.decodeIfPresent(UInt64.self, forKey: .settle) ?? settle
        messages = try values.decodeIfPresent(Int.self, forKey: .messages) ?? messages
        lookups = try values.decodeIfPresent(Int.self, forKey: .lookups) ?? lookups
        changes = try values.decodeIfPresent(Int.self, forKey: .changes) ?? changes
        rate = try values.decodeIfPresent(Double.self, forKey: .rate) ?? rate
        loss = try values.decodeIfPresent(Int.self, forKey: .loss) ?? loss
        duplicates = try values.decodeIfPresent(Int.self, forKey: .duplicates) ?? duplicates
        reordered = try values.decodeIfPresent(Int.self, forKey: .reordered) ?? reordered
        skew = try values.decodeIfPresent(Int.self, forKey: .skew) ?? skew
        liars = try values.decodeIfPresent([Liars].self, forKey: .liars) ?? liars
        faults = try values.decodeIfPresent([Fault].self, forKey: .faults) ?? faults
    }

    /// What is wrong with the numbers; `nil` when a world can be made of them.
    public var problem: String? {
        let most: UInt64 = 30 * 86_400
        if !(7...10_000).contains(servers) { return "servers must be from 7 to 10000" }
        if !(0...10_000).contains(agents) { return "agents must be from 0 to 10000" }
        if !(1...10_000).contains(prefixes) { return "prefixes must be from 1 to 10000" }
        if clusterSize < 1 || (servers + clusterSize - 1) / max(1, clusterSize) < 5 {
            return "clusterSize must leave at least 5 clusters"
        }
        if seconds < 1 || seconds > most || settle > most { return "seconds and settle must be at most \(most)" }
        if start >= Timestamp.secondsPerEpoch { return "start must be below \(Timestamp.secondsPerEpoch)" }
        for number in [messages, lookups, changes] where !(0...100_000).contains(number) {
            return "messages, lookups and changes must be from 0 to 100000"
        }
        if !(0.01...1000).contains(rate) { return "rate must be from 0.01 to 1000" }
        if !(0.001...1000).contains(loops) { return "loops must be from 0.001 to 1000" }
        if !(0...100_000).contains(carries) { return "carries must be from 0 to 100000" }
        if !(0...1000).contains(history) { return "history must be from 0 to 1000" }
        for share in [loss, duplicates, reordered] where !(0...1000).contains(share) {
            return "loss, duplicates and reordered are in thousandths"
        }
        if !(0...3_600_000).contains(skew) { return "skew must be from 0 to 3600000" }
        let liarCount = liars.map { min(max(0, $0.count), servers) }.reduce(0, +)
        if liars.contains(where: { $0.count < 0 }) || liarCount >= servers { return "some servers must be honest" }
        for fault in faults {
            if fault.at > most || fault.seconds > most || !(0...servers).contains(fault.count) {
                return "a fault has a time or count out of range"
            }
            if !(-86_400 * 30...86_400 * 30).contains(fault.amount) { return "a clock may jump by 30 days" }
        }
        return nil
    }
}
