/// A network, its users, and what goes wrong: read from a file, or drawn from a seed.
public struct Scenario: Codable, Equatable, Sendable {
    /// Servers that do not do what they should.
    public struct Byzantine: Codable, Equatable, Sendable {
        /// `silent`, `drops`, `forgetful`, `selfish`, `halves` or `babbles`.
        public var conduct: String
        public var servers: Int
    }

    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case outOfRange(field: String, minimum: Int, maximum: Int)
        case unknownConduct(String)

        public var description: String {
            switch self {
            case .outOfRange(let field, let minimum, let maximum):
                "\(field) must be from \(minimum) to \(maximum)"
            case .unknownConduct(let name): "no server behaves like \u{201C}\(name)\u{201D}"
            }
        }
    }

    public var name: String
    public var description: String
    public var servers: Int
    public var agents: Int
    /// Messages in all, at random times of the bad phase.
    public var messages: Int
    /// Virtual minutes in which things go wrong.
    public var minutes: Int
    /// Virtual minutes after that in which nothing does, and everything must arrive.
    public var healing: Int
    /// Of a hundred envelopes between servers so many are lost; come twice and late; are changed on their last way.
    public var lossPercent: Int
    public var duplicatePercent: Int
    public var tamperPercent: Int
    /// Milliseconds by which packets may overtake each other.
    public var jitter: Int
    /// Whether distances are those of cities of the world, or none.
    public var isWorldwide: Bool
    /// Processes killed, each at a random moment of an event, half of them servers.
    public var kills: Int
    /// Servers that are down for a minute or more.
    public var outages: Int
    /// Times that the servers fall into two sides, for a minute each.
    public var partitions: Int
    /// Pairs of servers of which one does not hear the other.
    public var deafPairs: Int
    /// Times that a server's disk is full for half a minute.
    public var fullDisks: Int
    /// The most seconds by which clocks differ from the true time, half of which come as a jump.
    public var skewSeconds: Int
    public var byzantine: [Byzantine]

    /// Every number with the least and the most that it may be.
    private var bounds: [(field: String, value: Int, range: ClosedRange<Int>)] {
        [
            ("servers", servers, 5...2000), ("agents", agents, 2...10_000), ("messages", messages, 0...1_000_000),
            ("minutes", minutes, 1...10_080), ("healing", healing, 0...10_080), ("lossPercent", lossPercent, 0...90),
            ("duplicatePercent", duplicatePercent, 0...100), ("tamperPercent", tamperPercent, 0...90),
            ("jitter", jitter, 1...60_000), ("kills", kills, 0...100_000), ("outages", outages, 0...100_000),
            ("partitions", partitions, 0...10_000), ("deafPairs", deafPairs, 0...10_000),
            ("fullDisks", fullDisks, 0...10_000), ("skewSeconds", skewSeconds, 0...50),
        ]
    }

    /// A quiet network.
    public init(name: String, description: String = "", servers: Int = 7, agents: Int = 2) {
        self.name = name
        self.description = description
        self.servers = servers
        self.agents = agents
        (messages, minutes, healing) = (4, 5, 20)
        (lossPercent, duplicatePercent, tamperPercent, jitter, isWorldwide) = (0, 0, 0, 20, false)
        (kills, outages, partitions, deafPairs, fullDisks, skewSeconds) = (0, 0, 0, 0, 0, 0)
        byzantine = []
    }

    /// What is not named is as in a quiet network.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(name: try fields.decode(String.self, forKey: .name))
        func take<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
            if let given = try fields.decodeIfPresent(T.self, forKey: key) { value = given }
        }
        try take(.description, &description)
        try take(.servers, &servers)
        try take(.agents, &agents)
        try take(.messages, &messages)
        try take(.minutes, &minutes)
        try take(.healing, &healing)
        try take(.lossPercent, &lossPercent)
        try take(.duplicatePercent, &duplicatePercent)
        try take(.tamperPercent, &tamperPercent)
        try take(.jitter, &jitter)
        try take(.isWorldwide, &isWorldwide)
        try take(.kills, &kills)
        try take(.outages, &outages)
        try take(.partitions, &partitions)
        try take(.deafPairs, &deafPairs)
        try take(.fullDisks, &fullDisks)
        try take(.skewSeconds, &skewSeconds)
        try take(.byzantine, &byzantine)
    }

    /// Checks every number and name.
    public func validate() throws(Failure) {
        for (field, value, range) in bounds where !range.contains(value) {
            throw .outOfRange(field: field, minimum: range.lowerBound, maximum: range.upperBound)
        }
        for entry in byzantine {
            guard Conduct(name: entry.conduct) != nil else { throw .unknownConduct(entry.conduct) }
            guard (0...servers).contains(entry.servers) else {
                throw .outOfRange(field: "byzantine.servers", minimum: 0, maximum: servers)
            }
        }
    }

    /// A short scenario with everything drawn: each kind of fault is absent in half of them.
    public static func drawn(seed: UInt64) -> Scenario {
        let dice = Dice(seed ^ 0x5357_4152_4d)
        func some(_ bound: Int) -> Int { dice.entropy.below(2) == 0 ? 0 : dice.entropy.below(bound + 1) }
        var scenario = Scenario(
            name: "swarm", servers: 7 + dice.entropy.below(6), agents: 2 + dice.entropy.below(3))
        scenario.messages = 2 + dice.entropy.below(8)
        scenario.minutes = 2 + dice.entropy.below(6)
        scenario.healing = 40
        scenario.lossPercent = some(25)
        scenario.duplicatePercent = some(30)
        scenario.tamperPercent = some(10)
        scenario.jitter = 20 + some(400)
        scenario.isWorldwide = dice.entropy.below(2) == 0
        scenario.kills = some(8)
        scenario.outages = some(3)
        scenario.partitions = some(2)
        scenario.deafPairs = some(4)
        scenario.fullDisks = some(3)
        scenario.skewSeconds = some(20)
        if dice.entropy.below(2) == 0 {
            let conduct = Conduct.byzantine[dice.entropy.below(Conduct.byzantine.count)]
            scenario.byzantine = [Byzantine(conduct: conduct.name, servers: 1)]
        }
        return scenario
    }
}

extension Conduct {
    var name: String {
        switch self {
        case .honest: "honest"
        case .silent: "silent"
        case .drops: "drops"
        case .forgetful: "forgetful"
        case .selfish: "selfish"
        case .halves: "halves"
        case .babbles: "babbles"
        }
    }

    init?(name: String) {
        guard let conduct = Conduct.byzantine.first(where: { $0.name == name }) else { return nil }
        self = conduct
    }
}
