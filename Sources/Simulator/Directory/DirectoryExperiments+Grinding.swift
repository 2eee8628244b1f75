import Directory
import Primitives
import Records
import Wire

/// Participants of the shared random value that collude.
extension DirectoryExperiments {
    /// More clusters than can take part: whoever is left out has a successor.
    private static let grindingClusters = 48

    fileprivate struct GrindingFigures {
        var byChance = (own: 0, all: 0)
        var chosen = (own: 0, all: 0)
        var choices = RankedSample()
        var seats = RankedSample()
        var fallback = Proportion()
        var agreedOn = Proportion()
        var alarmed = Proportion()
        var proven = Proportion()
        var named = Proportion()
    }

    /// A share of the clusters colludes for `trials` virtual days, in each of the ways of ``Grinder/Attack``. The same share
    /// of `nodes` directory servers is theirs; each day another key is their target.
    static func grinding(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        guard nodes >= 40 else { throw .tooFewNodes(needed: 40) }
        let cases: [(name: String, Grinder.Attack, percent: Int)] = [
            ("10 % choose what they show", .choose, 10), ("20 % choose what they show", .choose, 20),
            ("30 % choose what they show", .choose, 30), ("40 % show nothing", .starve, 40),
            ("20 % commit twice", .equivocate, 20), ("one of 10 % commits in the last moment", .lateCommit, 10),
            ("one of 10 % reveals in the last moment", .lateReveal, 10),
            ("30 % sign one commitment and show it in the last moment", .chainedCommit, 30),
            ("30 % sign one secret and show it in the last moment", .chainedReveal, 30),
        ]
        var rows: [ResultRow] = []
        for (step, (name, attack, percent)) in cases.enumerated() {
            let figures = try grind(nodes, seed, trials, attack, percent) {
                progress((Double(step) + $0) / Double(cases.count))
            }
            rows += figures.rows(name, isChoosing: attack == .choose)
        }
        return rows + [.virtualTime(milliseconds: UInt64(cases.count * trials) * Timestamp.secondsPerEpoch * 1000)]
    }

    private static func grind(
        _ nodes: Int, _ seed: UInt64, _ days: Int, _ attack: Grinder.Attack, _ percent: Int,
        _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> GrindingFigures {
        var entropy = Entropy(seed: seed)
        let network = try GrindingNetwork(
            grindingClusters, attackers: (grindingClusters * percent + 50) / 100,
            seats: (SharedRandom.most * percent + 50) / 100, seed: entropy.uint64())
        let circle = (0..<nodes).map { index in
            Placement.Node(
                id: entropy.bytes(), cluster: VerifyingKey(entropy.bytes()),
                prefix: [UInt8(truncatingIfNeeded: index >> 8), UInt8(truncatingIfNeeded: index)])
        }
        let grinder = Grinder(
            attack: attack, circle: circle, own: Set(circle.prefix(nodes * percent / 100).map(\.id)))
        var figures = GrindingFigures()
        for number in 0..<days {
            let (decision, day) = try grinder.day(network, &entropy)
            figures.add(decision, day)
            progress(Double(number + 1) / Double(days))
        }
        return figures
    }
}

extension DirectoryExperiments.GrindingFigures {
    fileprivate mutating func add(_ decision: Grinder.Decision, _ day: GrindingNetwork.Day) {
        let holders = Placement.rings * Placement.holdersPerRing
        byChance = (byChance.own + decision.byChance, byChance.all + holders)
        chosen = (chosen.own + decision.chosen, chosen.all + holders)
        choices.add(Double(decision.choices))
        seats.add(Double(decision.seats))
        agreedOn.count(day.values.count == 1)
        fallback.count(day.isFallback)
        alarmed.count(day.isAlarmed)
        proven.count(day.isProven)
        named.count(day.isNamed)
    }

    fileprivate func rows(_ name: String, isChoosing: Bool) -> [ResultRow] {
        var rows = [
            ResultRow("\(name): of 32 participants, mean", .number(seats.mean, unit: "")),
            ResultRow("\(name): of 32 participants on the last day", .number(seats.values.last ?? 0, unit: "")),
        ]
        if isChoosing {
            rows += [
                ResultRow("\(name): values to choose from, mean", .number(choices.mean, unit: "")),
                ResultRow("\(name): values to choose from, most", .number(choices.quantile(1), unit: "")),
                ResultRow(
                    "\(name): own among holders by chance",
                    .share(Proportion(successes: byChance.own, trials: byChance.all))),
                ResultRow(
                    "\(name): own among holders by choice",
                    .share(Proportion(successes: chosen.own, trials: chosen.all))
                ),
            ]
        }
        return rows + [
            ResultRow("\(name): days on which all honest servers have one value", .share(agreedOn)),
            ResultRow("\(name): days on the value that follows from the last", .share(fallback)),
            ResultRow("\(name): days with the alarm that there was no agreement", .share(alarmed)),
            ResultRow("\(name): days with proof of a contradiction", .share(proven)),
            ResultRow("\(name): days on which the absent were named", .share(named)),
        ]
    }
}
