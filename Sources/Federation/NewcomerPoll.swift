import Primitives
import Records
import Wire

/// A sample of clusters is asked who came onto the map lately, by somebody who was not there to see it
/// (specs/map.md, "Newcomers").
///
/// Each cluster has one vote about each server. Whoever came after the epoch began is in the list of every honest
/// server that was there, so a liar among those asked cannot make it old.
struct NewcomerPoll: Sendable {
    /// Clusters that are asked at most. When 30 % of all clusters lie together, they have the majority of such a sample
    /// once in about 150 polls.
    static let sampleLimit = 32
    /// Questions put at a time, to one cluster for one page, and pages taken of one cluster.
    static let perRound = 4
    private static let attempts = 3
    static let pageLimit = 32
    /// No verdict rests on fewer votes.
    static let leastVotes = 3
    /// Milliseconds until a question without an answer is asked again.
    private static let patience: UInt64 = 40_000

    private struct Voter {
        let servers: [NodeID]
        var newcomers: [UInt64: Bool] = [:]
        var after: UInt64?
        var pages = 0
        var tries = 0
        var tag: UInt64?
        var askedAt: Timestamp?
        var state = State.open

        enum State { case open, voted, without }
    }

    let epoch: UInt64
    private var voters: [Voter]

    /// - Parameter clusters: the servers of each cluster.
    init(epoch: UInt64, clusters: [VerifyingKey: [NodeID]], entropy: inout Entropy) {
        self.epoch = epoch
        var order = clusters.keys.sorted()
        entropy.shuffle(&order)
        voters = order.prefix(NewcomerPoll.sampleLimit).map { Voter(servers: clusters[$0] ?? []) }
            .filter { !$0.servers.isEmpty }
    }

    /// The questions that are due.
    mutating func questions(_ now: Timestamp, _ entropy: inout Entropy) -> [MapQuestion] {
        var out: [MapQuestion] = []
        for index in voters.indices where voters[index].state == .open && out.count < NewcomerPoll.perRound {
            if let asked = voters[index].askedAt, now < asked.adding(milliseconds: NewcomerPoll.patience) { continue }
            guard voters[index].tries < NewcomerPoll.attempts else {
                voters[index].state = .without
                continue
            }
            voters[index].tries += 1
            voters[index].askedAt = now
            let tag = entropy.uint64()
            voters[index].tag = tag
            let servers = voters[index].servers
            out.append(
                MapQuestion(
                    server: servers[entropy.below(servers.count)],
                    inquiry: .askNewcomers(tag: tag, after: voters[index].after)))
        }
        return out
    }

    /// - Returns: whether somebody had been asked that.
    mutating func take(_ tag: UInt64, _ page: NewcomerPage) -> Bool {
        guard let index = voters.firstIndex(where: { $0.state == .open && $0.tag == tag }) else { return false }
        voters[index].tag = nil
        guard page.isComplete, page.epoch == epoch else {
            voters[index].state = .without
            return true
        }
        for entry in page.entries where voters[index].after.map({ entry.name > $0 }) ?? true {
            voters[index].newcomers[entry.name] = entry.isOfToday
        }
        voters[index].pages += 1
        if page.hasMore, voters[index].pages < NewcomerPoll.pageLimit {
            voters[index].after = page.entries.last?.name
            voters[index].askedAt = nil
            voters[index].tries = 0
        } else {
            voters[index].state = .voted
        }
        return true
    }

    /// Whether nobody is left from whom an answer can come.
    var isOver: Bool { voters.allSatisfy { $0.state != .open } }

    /// Who came in this epoch or the last one, and in which, as more than half of those who vote say; `nil` while too few
    /// have voted.
    var verdict: [UInt64: UInt64]? {
        let votes = voters.filter { $0.state == .voted }
        let open = voters.count { $0.state == .open }
        // Those who do not know have no vote, and are not waited for.
        guard votes.count >= NewcomerPoll.leastVotes, votes.count > open else { return nil }
        var said: [UInt64: (all: Int, today: Int)] = [:]
        for vote in votes {
            for (name, isOfToday) in vote.newcomers {
                said[name, default: (0, 0)].all += 1
                if isOfToday { said[name, default: (0, 0)].today += 1 }
            }
        }
        return said.filter { 2 * $0.value.all > votes.count }.mapValues { count in
            2 * count.today > count.all ? epoch : epoch - min(epoch, 1)
        }
    }
}
