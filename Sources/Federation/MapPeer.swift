import Primitives
import Wire

/// What a ``MapCore`` keeps of one link.
struct MapPeer: Sendable {
    /// What is left of the link's shares of this interval.
    struct Shares: Sendable {
        var sends: Int
        var receives: Int
        var digests: Int
        var summaries: Int
        /// Messages of cells looked at.
        var sketches = 2 * ExchangeMessage.symbolLimit / ExchangeMessage.symbolsPerMessage
        /// Passes over the whole map for the other side's sake.
        var passes = 32
        /// Answers to `walk`, and repeated greetings.
        var walks = 1
        var hellos = 1

        init(_ configuration: MapConfiguration) {
            sends = configuration.sendLimit
            receives = configuration.receiveLimit
            digests = configuration.digestLimit
            summaries = configuration.summaryLimit
        }
    }

    /// The other side's cells so far, until they suffice.
    struct Incoming: Sendable {
        var symbols: [CodedSymbol]
        /// How many have been asked for.
        var expected: Int
        let whole: UInt64
        /// Intervals that it has been waiting.
        var age = 0
    }

    /// Milliseconds in which a comparison is over, if it does not take long.
    private static let comparisonTime: UInt64 = 2000
    private static let uselessLimit = 4096
    private static let uselessSeconds: UInt64 = 3600

    var isAgent: Bool
    /// The own part of the link's key.
    let salt: Bytes16
    var shares: Shares
    /// The version spoken; `nil` until the other side has greeted, or an interval has passed without.
    var version: UInt8?
    /// Whether the first wake with this link has been.
    var isSettled = false
    /// When this side, and when the other, last began a comparison.
    var begunAt: Timestamp?
    var calledAt: Timestamp?
    /// The link's key, of version 2.
    var key: SketchKey?
    /// Whether this side begins comparisons that only one side should.
    var isFirst = false
    var incoming: Incoming?
    /// What the other side has offered in the current comparison: the sequence by identifier.
    private(set) var offered: [Bytes16: UInt64] = [:]
    /// Whether it has answered this side's comparison, and not all that it offered has come yet.
    var isAnswered = false
    /// Names of what came and was of no use, not to be asked for again, and until when.
    private(set) var useless: Set<UInt64> = []
    private var uselessEnd: Timestamp?
    /// Items for the end of the current event.
    var outgoing = ParcelPacker()

    init(isAgent: Bool, salt: Bytes16, _ configuration: MapConfiguration) {
        self.isAgent = isAgent
        self.salt = salt
        shares = Shares(configuration)
    }

    /// Whether a comparison that began at that time may still be under way.
    static func isUnderWay(_ began: Timestamp?, _ now: Timestamp) -> Bool {
        began.map { now.milliseconds(since: $0) < comparisonTime } ?? false
    }

    func isComparing(_ now: Timestamp) -> Bool {
        MapPeer.isUnderWay(begunAt, now) || MapPeer.isUnderWay(calledAt, now)
    }

    var speaksTwo: Bool { key != nil }

    /// Whether there is no version that both sides speak, so that neither descriptors nor statements are sent.
    var isIncompatible: Bool { version == 0 }

    /// Notes what the other side holds.
    /// - Parameter limit: how many names may be noted.
    /// - Returns: whether there was room.
    mutating func offers(_ digest: MapDigest, limit: Int = ExchangeMessage.symbolLimit) -> Bool {
        guard offered.count < limit || offered[digest.id] != nil else { return false }
        offered[digest.id] = digest.sequence
        return true
    }

    mutating func forgetOffers() {
        offered = [:]
        isAnswered = false
    }

    /// - Returns: whether there was room.
    mutating func noteUseless(_ name: UInt64, _ now: Timestamp) -> Bool {
        if uselessEnd == nil { uselessEnd = now.adding(seconds: MapPeer.uselessSeconds) }
        guard useless.count < MapPeer.uselessLimit || useless.contains(name) else { return false }
        useless.insert(name)
        return true
    }

    /// What was useless is asked for again after some time: it may be admitted by then.
    mutating func forgive(_ now: Timestamp) {
        if let end = uselessEnd, now >= end { forgive() }
    }

    mutating func forgive() {
        useless = []
        uselessEnd = nil
    }
}
