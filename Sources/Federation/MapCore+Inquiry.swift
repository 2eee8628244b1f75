import Primitives
import Records
import Storage
import Wire

/// Roots over paths of the agent's own, not only over the link to its gateway (specs/map.md, "Roots through envelopes").
extension MapCore {
    /// Milliseconds between two rounds of questions, questions in each, and in one epoch about another.
    private static let inquiryInterval: UInt64 = 10_000
    private static let inquiriesPerRound = 8
    private static let inquiryLimit = 192

    /// A server's answer to a request of the map's service; `nil` for what is none.
    public mutating func answerInquiry(_ body: [UInt8], at now: Timestamp) -> [UInt8]? {
        switch try? MapInquiry(decoding: body) {
        case .ask(let epoch, let clusters): return answerRoots(epoch, clusters)
        case .askNewcomers(let tag, let after):
            return MapInquiry.newcomers(tag: tag, newcomers.tenure.page(after: after, now)).encode()
        case .roots, .newcomers, nil:
            snapshots.counters.malformed += 1
            return nil
        }
    }

    private func answerRoots(_ epoch: UInt64, _ clusters: [Bytes16]) -> [UInt8] {
        // In the order of the question: whom it goes to is named first.
        var roots: [[UInt8]] = []
        let wanted = Dictionary(clusters.enumerated().map { ($1, $0) }, uniquingKeysWith: min)
        let held = snapshots.book.roots(epoch).compactMap { root in
            wanted[MapCore.name(root.clusterID)].map { (place: $0, root: root) }
        }
        for (_, root) in held.sorted(by: { $0.place < $1.place }).prefix(MapInquiry.rootLimit) {
            roots.append(root.encode())
        }
        return MapInquiry.roots(roots).encode()
    }

    /// An agent's questions: to clusters of the sample that it has not heard of, about them and some others, so that a
    /// cluster which says different things to different askers shows.
    mutating func inquire(_ now: Timestamp, _ entropy: inout Entropy, _ effects: inout [MapEffect]) {
        guard configuration.isAgent, now >= agreement.nextQuestions else { return }
        agreement.nextQuestions = now.adding(milliseconds: MapCore.inquiryInterval)
        agreement.asked = agreement.asked.filter { $0.key + 1 >= now.epoch }
        var questions: [MapQuestion] = []
        for comparison in [agreement.earlier, snapshots.comparison].compactMap(\.self) {
            var asked = agreement.asked[comparison.epoch, default: 0]
            var missing = comparison.missing
            entropy.shuffle(&missing)
            let others = comparison.voters.keys.sorted()
            let share = min(missing.count, MapCore.inquiriesPerRound, MapCore.inquiryLimit - asked)
            guard share > 0 else { continue }
            let servers = usableNodes(of: Set(missing.prefix(share)), at: now)
            for cluster in missing.prefix(share) {
                guard let homes = servers[cluster], !homes.isEmpty else { continue }
                var names = [MapCore.name(cluster)]
                for _ in 1..<MapInquiry.nameLimit {
                    let name = MapCore.name(others[entropy.below(others.count)])
                    if !names.contains(name) { names.append(name) }
                }
                questions.append(
                    MapQuestion(
                        server: homes[entropy.below(homes.count)],
                        inquiry: .ask(epoch: comparison.epoch, clusters: names)))
                asked += 1
            }
            agreement.asked[comparison.epoch] = asked
        }
        if !questions.isEmpty { effects.append(.inquire(questions)) }
    }

    /// An answer that came in an envelope; roots in it are judged as those from a link are.
    mutating func receiveInquired(
        _ answer: [UInt8], _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch try? MapInquiry(decoding: answer) {
        case .roots(let roots):
            for bytes in roots {
                guard let root = judgeRoot(bytes, nil, now) else { continue }
                snapshots.counters.learned += 1
                try enter(root, from: nil, &effects, &store)
            }
        case .newcomers(let tag, let page): try receiveNewcomers(tag, page, now, &effects, &store)
        case .ask, .askNewcomers, nil: snapshots.counters.malformed += 1
        }
    }
}
