import Records

/// How a ``DirectLookup`` went, for the operator who asked for it.
public struct LookupReport: Sendable {
    public enum Ending: Sendable {
        case found(DirectoryRecord, RecordBody)
        /// Enough holders have signed that they have no record.
        case missing
        /// No record, and too few signed words that there is none.
        case unanswered
    }

    /// What a holder sent.
    public enum Answer: String, CaseIterable, Codable, Sendable {
        /// The record that was found.
        case record
        /// A record that holds, of a lower sequence.
        case older
        /// A record that holds and came when another was believed already.
        case newer
        /// Its signed word that it has none.
        case missing
        /// Its word without a signature, which is no evidence.
        case unsigned
        /// It was asked too much of late.
        case refused
        /// A record or statement that does not hold, or no answer to this question at all.
        case invalid
        /// Nothing in time.
        case silent
    }

    public struct Holder: Sendable {
        public let node: NodeID
        /// 0 to 3.
        public let ring: Int
        public let answer: Answer
        /// From the question to the answer.
        public let milliseconds: UInt64?
        /// Of its record.
        public let sequence: UInt64?
    }

    public let id: NetworkID
    /// Days since 1970.
    public let epoch: UInt64
    public var ending = Ending.unanswered
    /// Until the ending was known.
    public let milliseconds: UInt64
    /// Whether enough was known of the times that answers take; else fifteen answers of twenty were awaited.
    public let isJudgedByTimes: Bool
    /// Round trips of the search that followed when the holders had no record; `nil` if there was none.
    public let searchRounds: Int?
    public let holders: [Holder]

    init(
        id: NetworkID, epoch: UInt64, milliseconds: UInt64, isJudgedByTimes: Bool, searchRounds: Int?,
        holders: [Holder]
    ) {
        self.id = id
        self.epoch = epoch
        self.milliseconds = milliseconds
        self.isJudgedByTimes = isJudgedByTimes
        self.searchRounds = searchRounds
        self.holders = holders
    }
}

/// Why a direct lookup was not begun.
public enum LookupRefusal: Error, Equatable, Sendable {
    /// So many are under way, or too many calls.
    case busy(limit: Int)
    /// An ID that is not a point of the curve.
    case invalidID
}
