import Directory
import Primitives
import Records
import Relay
import Wire

/// Looks on while a world runs, and notes what must never happen.
struct InvariantWatch: Sendable {
    private struct HeldRecord: Hashable, Sendable {
        let server: Int
        let key: VerifyingKey
        let epoch: UInt64
    }

    /// What went wrong, the first of each kind and place; empty when nothing did.
    private(set) var violations: [String] = []
    /// Facts that were looked at, so that a watch that saw nothing is not taken for one that found nothing.
    private(set) var checks = 0
    private var journal: [Int: Set<Bytes16>] = [:]
    private var acknowledged: [HeldRecord: UInt64] = [:]

    mutating func violation(_ text: String) {
        if violations.count < 100, !violations.contains(text) { violations.append(text) }
    }

    /// A relay took an envelope: never one whose tag is in its journal.
    mutating func accepted(_ tag: Bytes16, at server: Int) {
        checks += 1
        if journal[server]?.contains(tag) == true { violation("server \(server) took an envelope a second time") }
    }

    /// Tags are on disk, and their envelopes may go on.
    mutating func journaled(_ tags: [Bytes16], at server: Int) { journal[server, default: []].formUnion(tags) }

    mutating func waiting(_ count: Int, at server: Int) {
        checks += 1
        if count > 65_536 { violation("server \(server) holds \(count) envelopes") }
    }

    mutating func frame(_ count: Int) {
        checks += 1
        if count > Limits.envelopeSize { violation("a map frame of \(count) bytes") }
    }

    /// An honest server answered a directory request: a record of a lower sequence than it has acknowledged is a loss.
    mutating func answered(_ request: [UInt8], _ answer: [UInt8], at server: Int, epoch now: UInt64) {
        if answer.count > Limits.datagramSize { violation("a directory answer of \(answer.count) bytes") }
        guard let question = try? DirectoryMessage(decoding: request),
            let reply = try? DirectoryMessage(decoding: answer)
        else { return }
        switch (question, reply) {
        case (.put(let bytes), .stored(let sequence)):
            guard let record = try? DirectoryRecord(decoding: bytes) else { return }
            let held = HeldRecord(server: server, key: record.blindedKey, epoch: record.epoch)
            acknowledged[held] = max(acknowledged[held] ?? 0, sequence)
        case (.get(let key, let epoch), .record(let bytes)), (.findValue(let key, let epoch), .record(let bytes)):
            checks += 1
            let served = (try? DirectoryRecord(decoding: bytes))?.sequence ?? 0
            if let sequence = acknowledged[HeldRecord(server: server, key: key, epoch: epoch)], served < sequence {
                violation("server \(server) serves sequence \(served) after it has acknowledged \(sequence)")
            }
        case (.get(let key, let epoch), .missing), (.get(let key, let epoch), .absent):
            checks += 1
            // A record may expire at the end of its epoch and a half.
            if epoch == now, acknowledged[HeldRecord(server: server, key: key, epoch: epoch)] != nil {
                violation("server \(server) has lost a record that it had acknowledged")
            }
        default: break
        }
    }
}
