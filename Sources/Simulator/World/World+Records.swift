import Correspondence
import Directory
import Primitives
import Records
import Wire

/// What a lookup can be held against: what was acknowledged when it began.
struct LookupFloor {
    let key: VerifyingKey
    let begun: Timestamp
    /// The highest sequence that each server had acknowledged.
    let acknowledged: [Int: UInt64]
    /// Whether the map of who asks has all holders.
    let seesAll: Bool
}

/// No record with a lower sequence after a higher one was acknowledged.
extension World {
    /// Milliseconds by which clocks may differ, so that nobody takes a record for expired or for one of days to come.
    private static let tolerance: Int64 = 300_000
    /// Holders that a lookup hears at least, unless it has asked all: half, or as many (specs/correspondence.md, "Lookup").
    private static let answersEnough = 8

    /// Notes what an honest holder acknowledges and serves.
    func observe(_ server: WorldServer, _ request: [UInt8], _ answer: [UInt8]) {
        guard let asked = try? DirectoryMessage(decoding: request), let said = try? DirectoryMessage(decoding: answer)
        else { return }
        switch said {
        case .stored(let sequence):
            guard let record = asked.recordPut, record.sequence == sequence else { return }
            ledger.acknowledged(record, by: server.index)
        case .record(let bytes):
            // What a search found elsewhere is not the server's own, which may have come meanwhile.
            if case .iterate = asked { return }
            guard let record = try? DirectoryRecord(decoding: bytes) else { return }
            ledger.served(record, by: server.index, at: elapsed)
        default: break
        }
    }

    /// Servers that hold every record; `nil` where there are more than the holders of one.
    private var holdersOfAll: Int? {
        let count = servers.count { $0.liar.conduct != .stranger }
        return count <= Placement.rings * Placement.holdersPerRing ? count : nil
    }

    /// What a lookup that begins now has to find.
    func floor(of id: NetworkID, for agent: WorldAgent) -> LookupFloor? {
        let own = agent.clock(now)
        guard let holders = holdersOfAll, let user = try? BlindedID(id, epoch: own.epoch) else { return nil }
        return LookupFloor(
            key: user.key, begun: now, acknowledged: ledger.acknowledgements(of: user.key, among: servers.count),
            seesAll: (agent.map?.currentTotal(at: own) ?? 0) >= holders)
    }

    /// Of n servers that hold every record a lookup hears a: what more than n - a honest ones had acknowledged, whatever was
    /// wrong with the others, is among what it hears. When half of them are heard that is what a majority acknowledged.
    func check(_ report: ResolveReport, of agent: WorldAgent, _ floor: LookupFloor) {
        let isSteady = { (skew: Int64, since: Timestamp) in abs(skew) <= World.tolerance && since <= floor.begun }
        // One that was under way when it was asked for began earlier; a search on one's behalf is not answered by holders.
        guard let holders = holdersOfAll, !report.usedFallback, isSteady(agent.skew, agent.clockSince),
            report.milliseconds <= now.milliseconds(since: floor.begun)
        else { return }
        let promised = min(World.answersEnough, (holders + 1) / 2)
        let heard = floor.seesAll && report.asked < holders ? max(promised, report.answered) : report.answered
        let oldest = now.seconds + UInt64(World.tolerance / 1000)
        let sequences = floor.acknowledged.filter { index, _ in
            isSteady(servers[index].skew, servers[index].clockSince)
                && ledger.expiry(of: floor.key, at: index) > oldest
        }.values.sorted(by: >)
        let place = max(0, holders - heard)
        guard sequences.indices.contains(place) else { return }
        ledger.lookedUp(report.sequence, of: floor.key, atLeast: sequences[place], by: agent.index, at: elapsed)
    }
}

extension DirectoryMessage {
    /// The record that a put brings, whatever work it shows.
    var recordPut: DirectoryRecord? {
        switch self {
        case .put(let bytes), .solvedPut(let bytes, _), .challengedPut(let bytes, _):
            try? DirectoryRecord(decoding: bytes)
        default: nil
        }
    }
}
