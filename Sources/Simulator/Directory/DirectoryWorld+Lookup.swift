import Correspondence
import Directory
import Glibc
import Primitives
import Records
import Wire

/// How an agent's requests travel.
enum LookupRoute: Sendable {
    /// To the holder and back, nothing between.
    case direct
    /// In envelopes: five links and three mixes there, as many back, and the agent's queue. The delays are drawn; the
    /// envelopes themselves are not built.
    case mixed

    /// The habits of an agent on this route. Direct lookups ask all holders at once and take fifteen answers where nothing
    /// is known of how long answers take.
    var configuration: AgentConfiguration {
        var configuration = AgentConfiguration()
        if case .direct = self {
            configuration.freshAnswers = 15
            configuration.spareRequests = 5
            // A little more than the longest round trip of the world.
            configuration.waveTimeout = 400
            // Nobody is left to be asked instead of the slow ones.
            configuration.waveGrace = configuration.waveTimeout
        }
        return configuration
    }
}

/// How a lookup ended.
struct LookupOutcome: Sendable {
    enum End: Sendable, Equatable {
        case found
        /// A record, but not the current one.
        case stale
        case failed
    }

    var end: End
    var milliseconds: UInt64
    /// Requests sent to holders.
    var asked: Int
    var waves: Int
    var usedFallback: Bool
}

extension DirectoryWorld {
    /// An agent's whole lookup, with the agent's own state machine; time stands still for the servers meanwhile.
    /// - Parameters:
    ///   - rings: the holders by the agent's own map, if that differs from everybody's.
    ///   - configuration: the agent's, if not the usual one of the route.
    ///   - hasHistory: whether the agent goes by the times of answers that it saw before (``AnswerTest``).
    func lookup(
        _ user: DirectoryUser, over route: LookupRoute, rings: [[NodeID]]? = nil,
        configuration: AgentConfiguration? = nil, hasHistory: Bool = false
    ) throws(DirectoryExperimentError) -> LookupOutcome {
        let configuration = configuration ?? route.configuration
        now = now.adding(milliseconds: DirectoryWorld.pause)
        let region = latency.region(&entropy)
        let rings = rings ?? placement.rings(of: user.blindedKey)
        let times = hasHistory ? answerTimes(region, configuration) : nil
        var lookup = Lookup(
            user: user.blinded, rings: rings, directories: directories,
            test: times.flatMap { AnswerTest($0, holders: rings.reduce(0) { $0 + $1.count }) }, now: now,
            entropy: &entropy)
        var arrivals = VirtualQueue<(holder: NodeID?, message: DirectoryMessage)>()
        var requests = 0
        var time = now
        func outcome(_ end: LookupOutcome.End) -> LookupOutcome {
            lookupTime += time.milliseconds(since: now)
            return LookupOutcome(
                end: end, milliseconds: time.milliseconds(since: now), asked: requests, waves: lookup.waves,
                usedFallback: lookup.usedFallback)
        }
        while true {
            let queueDelay = route.queueDelay(configuration.freshAnswers, configuration)
            switch lookup.step(configuration, now: time, queueDelay: queueDelay) {
            case .found(let record, _):
                return outcome(record.sequence == user.sequence ? .found : .stale)
            case .failed: return outcome(.failed)
            case .ask(let holders):
                requests += holders.count
                var departure = 0.0
                for holder in holders {
                    let request = DirectoryMessage.get(key: user.blindedKey, epoch: lookup.epoch)
                    if case .mixed = route { departure += exponential(1000 / configuration.rate) }
                    guard let index = indices[holder], let answer = try ask(index, request, user.blindedKey) else {
                        continue
                    }
                    let travel = departure + answerDelay(route, region, index, configuration)
                    arrivals.push((holder, answer), due: time.adding(milliseconds: UInt64(travel)).milliseconds)
                }
            case .askFallback(let servers):
                for server in servers {
                    let request = DirectoryMessage.iterate(key: user.blindedKey, epoch: lookup.epoch)
                    guard let index = indices[server], let answer = try ask(index, request, user.blindedKey) else {
                        continue
                    }
                    let travel = delay(route, region, index, configuration)
                    arrivals.push((nil, answer), due: time.adding(milliseconds: UInt64(travel)).milliseconds)
                }
            case .wait:
                guard let due = arrivals.next, due < lookup.deadline.milliseconds, let (at, answer) = arrivals.pop()
                else {
                    time = max(time.adding(milliseconds: 1), lookup.deadline)
                    continue
                }
                time = max(time, Timestamp(milliseconds: at))
                var found: (record: DirectoryRecord, body: RecordBody)?
                if case .record(let record, let body) = lookup.read(answer.message, from: answer.holder, now: time) {
                    found = (record, body)
                }
                lookup.take(found, from: answer.holder, now: time, grace: configuration.waveGrace)
            }
        }
    }

    /// What an agent of this region knows of the times of answers, after lookups of other records while the same servers
    /// were faulty: so many servers drawn at random as it remembers.
    private func answerTimes(_ region: Int, _ configuration: AgentConfiguration) -> AnswerTimes {
        if let known = histories[region] { return known }
        var times = AnswerTimes()
        for _ in 0..<AnswerTimes.limit {
            let index = entropy.below(listed.count)
            let isRight = nodes[index].isUp && [.honest, .stale].contains(nodes[index].conduct)
            times.note(isRight ? UInt64(answerDelay(.direct, region, index, configuration)) : nil)
        }
        histories[region] = times
        return times
    }

    /// What a server answers to an agent; `nil` for silence.
    private func ask(
        _ index: Int, _ message: DirectoryMessage, _ key: VerifyingKey
    ) throws(DirectoryExperimentError) -> DirectoryMessage? {
        let node = nodes[index]
        guard node.isUp else { return nil }
        guard node.conduct == .honest else { return conspiracy.answer(node.conduct, key, entropy: &entropy) }
        return try node.ask(message, now: now, entropy: &entropy)
    }

    /// Liars that hurry are beside everybody, so that their answers are the first.
    private func answerDelay(
        _ route: LookupRoute, _ region: Int, _ node: Int, _ configuration: AgentConfiguration
    ) -> Double {
        guard liarsHurry, nodes[node].conduct != .honest else { return delay(route, region, node, configuration) }
        return 1
    }

    private func delay(
        _ route: LookupRoute, _ region: Int, _ node: Int, _ configuration: AgentConfiguration
    ) -> Double {
        switch route {
        case .direct:
            return latency.delay(region, regions[node], &entropy) + latency.delay(regions[node], region, &entropy)
        case .mixed:
            var sum = 0.0
            for _ in 0..<2 {
                // Gateway, mixes, holder, or the same from the other end: the relays are anywhere.
                var from = region
                for _ in 0..<configuration.mixes + 1 {
                    let to = latency.region(&entropy)
                    sum += latency.delay(from, to, &entropy)
                    from = to
                }
                sum += latency.delay(from, regions[node], &entropy)
                for _ in 0..<configuration.mixes { sum += exponential(configuration.meanDelay) }
            }
            return sum
        }
    }

    func exponential(_ mean: Double) -> Double { -Glibc.log(entropy.unit()) * mean }
}

extension LookupRoute {
    /// Milliseconds until the last of so many requests has left the agent's queue, on average.
    func queueDelay(_ requests: Int, _ configuration: AgentConfiguration) -> UInt64 {
        switch self {
        case .direct: 0
        case .mixed: UInt64(Double(requests) * 1000 / configuration.rate)
        }
    }
}
