import Primitives
import Records
import Wire

/// What an agent knows of somebody it writes to, while the record is fresh.
struct KnownContact: Sendable {
    /// Rounds without an answer after which the other home has its turn.
    static let patience = 2

    let record: DirectoryRecord
    let body: RecordBody
    let fetched: Timestamp
    /// Which of the homes on the map is written to; counts on, modulo their number.
    private(set) var turn = 0
    private var silences = 0
    private var refusals = 0
    private var lastSilence: Timestamp?

    init(record: DirectoryRecord, body: RecordBody, fetched: Timestamp) {
        self.record = record
        self.body = body
        self.fetched = fetched
    }

    /// Many messages that wait for the same home count as one silence.
    mutating func noteSilence(_ now: Timestamp, pause: UInt64) {
        if let lastSilence, now.milliseconds(since: lastSilence) < pause { return }
        lastSilence = now
        silences += 1
        guard silences >= KnownContact.patience else { return }
        silences = 0
        turn += 1
    }

    /// A home took something: it is the one to write to.
    mutating func took(_ home: NodeID, _ network: NetworkView) {
        silences = 0
        refusals = 0
        if let index = homes(network).firstIndex(of: home) { turn = index }
    }

    /// - Returns: whether there is another home that has not refused since one took something.
    mutating func refused(_ home: NodeID, _ network: NetworkView) -> Bool {
        let homes = homes(network)
        // An answer that comes late, after the other has its turn already, changes nothing.
        guard !homes.isEmpty, homes[turn % homes.count] == home else { return homes.count > 1 }
        turn += 1
        refusals += 1
        guard refusals >= homes.count else { return true }
        refusals = 0
        return false
    }

    private func homes(_ network: NetworkView) -> [NodeID] {
        body.homes.map(\.node).filter { network.byID[$0] != nil }
    }
}
