import Primitives
import Wire

/// What happened in a run, in order: a running digest of every effect, and a trace for whoever wants to read along.
///
/// Two runs of one seed have the same digest (specs/simulator.md, "Digest").
struct EffectLog: ~Copyable {
    /// What is digested, by kind. The raw values are part of the digest.
    enum Kind: UInt8 {
        case envelope = 1
        case journal
        case mapFrame
        case call
        case answer
        case callFailed
        case mailboxReply
        case claim
        case upload
        case shown
        case report
        case link
        case crash
        case start
        case fault
        case lost
        case user
    }

    private var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/sim"))
    private(set) var count: UInt64 = 0
    /// Takes lines of text.
    let trace: ((String) -> Void)?

    init(trace: ((String) -> Void)?) { self.trace = trace }

    /// - Parameters:
    ///   - from: the place that did it, `to`: whom it concerns; 0xffff_ffff for nobody.
    mutating func record(
        _ kind: Kind, at time: UInt64, from: Int, to: Int? = nil, _ bytes: [UInt8] = [], _ note: StaticString = ""
    ) {
        count += 1
        hash.update(UInt64(kind.rawValue) | UInt64(bytes.count) << 8)
        hash.update(time)
        hash.update(UInt64(truncatingIfNeeded: from) << 32 | UInt64(truncatingIfNeeded: to ?? 0xffff_ffff))
        hash.update(bytes)
        guard let trace else { return }
        let target = to.map { " > \($0)" } ?? ""
        let content = bytes.isEmpty ? "" : " \(bytes.count) B \(EffectLog.fingerprint(bytes))"
        trace("\(time) \(kind) \(from)\(target)\(content) \(note)")
    }

    /// The digest of everything so far; the log begins again.
    mutating func finish() -> Bytes32 {
        let trace = trace
        let done = consume self
        self = EffectLog(trace: trace)
        return done.hash.finalize()
    }

    private static func fingerprint(_ bytes: [UInt8]) -> String {
        String(BLAKE2b.h(Domain("hulda/sim-print"), bytes).hex.prefix(8))
    }
}
