import Directory
import Wire

/// The bounds and habits of an ``AgentCore``. Times are in milliseconds.
public struct AgentConfiguration: Sendable {
    /// Envelopes a second, real or cover alike: the rate λ of a Poisson process.
    public var rate = 10.0
    /// Mean of the delay that is drawn for each mix.
    public var meanDelay = 50.0
    /// Mixes between gateway and destination.
    public var mixes = 3
    /// Gateways kept at a time, in different clusters, neither the home's.
    public var gateways = 2
    /// Service requests that wait for their turn to be sent.
    public var queueLimit = 1024
    /// Outstanding reply blocks.
    public var replyLimit = 4096
    /// How lookups are made.
    public var lookup = LookupHabits()
    /// First and longest wait for a home's answer before a message is sent again on a fresh path.
    public var firstRetry: UInt64 = 3000
    public var longestRetry: UInt64 = 60_000
    /// Wait for the receiver's receipt before an accepted message is sent once more.
    public var receiptRetry: UInt64 = 6 * 3_600_000
    /// After this a message is given up.
    public var messageLifetime: UInt64 = 30 * 86_400_000
    /// Messages waiting to be sent.
    public var outboxLimit = 10_000
    /// Parts of incomplete messages.
    public var fragmentLimit = 4096
    /// Bytes of messages that were received, with what recognises them when they come again. While there are so many,
    /// further ones stay at the homes.
    public var inboxLimit = 64 << 20
    /// Reply blocks that should be in stock at the home.
    public var stock = 6
    /// Wait between two attachments when nothing happens.
    public var attachInterval: UInt64 = 60_000
    /// How long a contact's record is believed without asking again.
    public var recordLifetime: UInt64 = 3_600_000
    /// Contacts whose records are known at a time.
    public var contactLimit = 4096
    /// Lookups of IDs, and of names, that are under way at a time.
    public var lookupLimit = 1024
    /// Mean of the times between two lookups that nobody asked for; 0 makes none.
    public var coverLookupInterval: UInt64 = 600_000

    public init() {}
}

/// What an agent did and dropped, since the start.
public struct AgentCounters: CounterSet {
    public static let family = "agent"

    public var envelopes: UInt64 = 0
    public var covers: UInt64 = 0
    public var loopsReturned: UInt64 = 0
    public var replies: UInt64 = 0
    /// Replies for blocks that are not outstanding any more.
    public var strayReplies: UInt64 = 0
    public var tamperedReplies: UInt64 = 0
    public var malformedAnswers: UInt64 = 0
    /// Items that could not be opened or were not signed by their sender.
    public var forgedItems: UInt64 = 0
    /// Messages that came again.
    public var duplicates: UInt64 = 0
    public var retransmissions: UInt64 = 0
    public var invalidRecords: UInt64 = 0
    public var queueOverflow: UInt64 = 0
    /// Questions of the map, cover lookups and audits for which there was no room.
    public var coverQueueOverflow: UInt64 = 0
    public var unbuildable: UInt64 = 0
    public var fragmentsDropped: UInt64 = 0
    /// Questions for an epoch's shared random value that nobody could answer.
    public var unknownValues: UInt64 = 0
    /// Times that holders were asked for the own record.
    public var audits: UInt64 = 0
    /// Times that the clock went back by more than a minute.
    public var clockTurns: UInt64 = 0
    /// Holders that lacked it then.
    public var replicasMissing: UInt64 = 0
    /// Records of the own ID that somebody else published.
    public var foreignRecords: UInt64 = 0

    public init() {}
}
