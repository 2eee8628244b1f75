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

/// A lookup that the world plays through: an agent's in envelopes, or a direct one.
private protocol PlayedLookup {
    var epoch: UInt64 { get }
    var deadline: Timestamp { get }
    var waves: Int { get }
    var usedFallback: Bool { get }
    mutating func next(_ configuration: AgentConfiguration, now: Timestamp, queueDelay: UInt64) -> PlayedStep
    mutating func take(
        _ answer: DirectoryMessage, from holder: NodeID?, _ configuration: AgentConfiguration, now: Timestamp)
}

private enum PlayedStep {
    case ask([NodeID])
    case search([NodeID])
    case wait
    /// With the sequence of the record, if one was found.
    case ended(UInt64?)
}

extension Lookup: PlayedLookup where Content == RecordBody {
    fileprivate mutating func next(
        _ configuration: AgentConfiguration, now: Timestamp, queueDelay: UInt64
    ) -> PlayedStep {
        switch step(configuration.lookup, now: now, queueDelay: queueDelay) {
        case .ask(let holders): .ask(holders)
        case .askFallback(let servers): .search(servers)
        case .wait: .wait
        case .found(let record, _): .ended(record.sequence)
        case .failed: .ended(nil)
        }
    }

    fileprivate mutating func take(
        _ answer: DirectoryMessage, from holder: NodeID?, _ configuration: AgentConfiguration, now: Timestamp
    ) {
        var found: (record: DirectoryRecord, body: RecordBody)?
        if case .record(let record, let body) = read(answer, from: holder, now: now) { found = (record, body) }
        take(found, from: holder, now: now, grace: configuration.lookup.waveGrace)
    }
}

extension DirectLookup: PlayedLookup {
    fileprivate var usedFallback: Bool { usedSearch }

    fileprivate mutating func next(
        _ configuration: AgentConfiguration, now: Timestamp, queueDelay: UInt64
    ) -> PlayedStep {
        switch step(now: now) {
        case .ask(let holders): .ask(holders)
        case .search(let servers): .search(servers)
        case .wait: .wait
        case .decided(.found(let record, _)): .ended(record.sequence)
        case .decided(.failed), .over: .ended(nil)
        }
    }

    fileprivate mutating func take(
        _ answer: DirectoryMessage, from holder: NodeID?, _ configuration: AgentConfiguration, now: Timestamp
    ) {
        guard let holder else { return take(searched: answer, now: now) }
        take(answer, from: holder, now: now)
    }
}

extension DirectoryWorld {
    /// A whole lookup, with the state machine of agents or of nodes; time stands still for the servers meanwhile.
    /// - Parameters:
    ///   - rings: the holders by the asker's own map, if that differs from everybody's.
    ///   - configuration: the agent's, if not the usual one.
    ///   - hasHistory: whether a direct lookup goes by the times of answers that were seen before (``AnswerTest``).
    func lookup(
        _ user: DirectoryUser, over route: LookupRoute, rings: [[NodeID]]? = nil,
        configuration: AgentConfiguration = AgentConfiguration(), hasHistory: Bool = false
    ) throws(DirectoryExperimentError) -> LookupOutcome {
        now = now.adding(milliseconds: DirectoryWorld.pause)
        let region = latency.region(&entropy)
        let rings = rings ?? placement.rings(of: user.blindedKey)
        switch route {
        case .direct:
            let times = hasHistory ? answerTimes(region, configuration) : AnswerTimes()
            return try play(
                DirectLookup(
                    user: user.blinded, rings: rings, searchers: directories, times: times, now: now,
                    entropy: &entropy), user, over: route, from: region, configuration)
        case .mixed:
            return try play(
                Lookup(user: user.blinded, rings: rings, directories: directories, now: now, entropy: &entropy),
                user, over: route, from: region, configuration)
        }
    }

    private func play(
        _ start: some PlayedLookup, _ user: DirectoryUser, over route: LookupRoute, from region: Int,
        _ configuration: AgentConfiguration
    ) throws(DirectoryExperimentError) -> LookupOutcome {
        var lookup = start
        var arrivals = VirtualQueue<(holder: NodeID?, message: DirectoryMessage)>()
        var requests = 0
        var time = now
        let queueDelay = route.queueDelay(configuration.lookup.freshAnswers, configuration)
        while true {
            switch lookup.next(configuration, now: time, queueDelay: queueDelay) {
            case .ended(let sequence):
                lookupTime += time.milliseconds(since: now)
                return LookupOutcome(
                    end: sequence.map { $0 == user.sequence ? .found : .stale } ?? .failed,
                    milliseconds: time.milliseconds(since: now), asked: requests, waves: lookup.waves,
                    usedFallback: lookup.usedFallback)
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
            case .search(let servers):
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
                lookup.take(answer.message, from: answer.holder, configuration, now: time)
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
