import Directory
import DirectoryClient
import Primitives
import Records
import Transport
import Wire

/// Lookups of published records, a window of them under way, until so many are done.
struct Lookups {
    enum Mode: String {
        /// The record from one holder, over a session that is there.
        case one
        /// Two holders of each of four rings, all eight awaited: the freshness rule of agents.
        case eight
        /// As ``one``, from a stranger: the request rides in the handshake.
        case cold

        var answers: Int { self == .eight ? 8 : 1 }
    }

    struct Result {
        var found = 0
        var answers = 0
        var seconds = 0.0
        /// How long each lookup took.
        var milliseconds: [Double] = []
    }

    private struct Lookup {
        let user: BlindedID
        let lane: Int
        let started: ContinuousClock.Instant
        /// Holders that were not asked, the next last.
        var waiting: [Server]
        var outstanding = 0
        var valid = 0
        /// An encoding that was checked: most holders send the same, which needs no second check.
        var checked: [UInt8] = []
    }

    /// The longest that one run takes.
    private static let limit = Duration.seconds(120)

    private let client: Client
    private let mode: Mode
    private var active: [UInt64: Lookup] = [:]
    private var lookupOfCall: [UInt64: UInt64] = [:]
    private var idleLanes: [Int]
    private var ended: [(call: UInt64, body: [UInt8]?)] = []
    private var result = Result()

    private init(_ client: Client, _ mode: Mode) {
        self.client = client
        self.mode = mode
        idleLanes = Array(client.lanes.indices)
    }

    /// - Parameter window: lookups under way at a time; in mode `cold` one for each lane at most.
    static func run(_ client: Client, _ mode: Mode, count: Int, window: Int) throws -> Result {
        var lookups = Lookups(client, mode)
        let clock = ContinuousClock()
        let started = clock.now
        var begun = 0
        while lookups.result.milliseconds.count < count, clock.now - started < limit {
            while lookups.active.count < window, begun < count, let lane = lookups.lane(begun) {
                try lookups.begin(UInt64(begun), lane)
                begun += 1
            }
            lookups.ended += client.wait()
            while let (call, body) = lookups.ended.popLast() { lookups.take(call, body) }
        }
        lookups.result.seconds = (clock.now - started) / .seconds(1)
        return lookups.result
    }

    private mutating func lane(_ number: Int) -> Int? {
        mode == .cold ? idleLanes.popLast() : number % client.lanes.count
    }

    private mutating func begin(_ id: UInt64, _ lane: Int) throws {
        if mode == .cold { client.lanes[lane].renew() }
        let published = client.records[client.entropy.below(client.records.count)]
        let user = try BlindedID(published.user, epoch: Timestamp.now().epoch)
        var rings = published.rings.map { ring in
            var order = ring
            client.entropy.shuffle(&order)
            return order
        }
        client.entropy.shuffle(&rings)
        // One of each ring in turn, the first last.
        var waiting: [Server] = []
        while rings.contains(where: { !$0.isEmpty }) {
            for index in rings.indices {
                if let server = rings[index].popLast() { waiting.append(server) }
            }
        }
        active[id] = Lookup(user: user, lane: lane, started: .now, waiting: waiting.reversed())
        for _ in 0..<mode.answers { ask(id) }
    }

    private mutating func ask(_ id: UInt64) {
        guard var lookup = active[id], let server = lookup.waiting.popLast() else { return }
        lookup.outstanding += 1
        active[id] = lookup
        client.nextCall += 1
        lookupOfCall[client.nextCall] = id
        let request = DirectoryMessage.get(key: lookup.user.key, epoch: lookup.user.epoch)
        ended += client.lanes[lookup.lane].call(client.nextCall, server, request.encode())
    }

    private mutating func take(_ call: UInt64, _ body: [UInt8]?) {
        guard let id = lookupOfCall.removeValue(forKey: call), var lookup = active[id] else { return }
        lookup.outstanding -= 1
        let isValid = body.map { isRecord($0, &lookup) } ?? false
        if isValid {
            lookup.valid += 1
            result.answers += 1
        }
        active[id] = lookup
        // Another holder in the place of one that does not answer or lacks the record.
        if !isValid { ask(id) }
        guard lookup.valid == mode.answers || active[id]?.outstanding == 0 else { return }
        active[id] = nil
        if lookup.valid == mode.answers { result.found += 1 }
        result.milliseconds.append((ContinuousClock.now - lookup.started) / .milliseconds(1))
        if mode == .cold { idleLanes.append(lookup.lane) }
    }

    /// The agent's checks: signature under the blinded key, decryption under the ID, certificate.
    private func isRecord(_ body: [UInt8], _ lookup: inout Lookup) -> Bool {
        guard case .record(let bytes) = try? DirectoryMessage(decoding: body) else { return false }
        if bytes == lookup.checked { return true }
        do throws(RecordError) {
            let record = try DirectoryRecord(decoding: bytes)
            guard record.blindedKey == lookup.user.key else { return false }
            try record.verify(at: .now())
            _ = try record.open(by: lookup.user, at: .now())
        } catch { return false }
        lookup.checked = bytes
        return true
    }
}
