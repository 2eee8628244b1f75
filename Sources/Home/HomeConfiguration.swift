import Wire

/// The bounds and habits of a ``HomeCore``.
public struct HomeConfiguration: Sendable {
    /// Accounts in all.
    public var accountLimit = 100_000
    /// Items in one inbox.
    public var inboxItems = 1000
    /// Bytes of blobs in one inbox.
    public var inboxBytes = 4 << 20
    /// Seconds that an item waits for its owner.
    public var retention: UInt64 = 30 * 86_400
    /// Reply blocks kept for one account.
    public var replyBlockLimit = 12
    /// Milliseconds after which an item that was sent and not acknowledged is sent again, doubled each time.
    public var redelivery: UInt64 = 30_000
    /// What a registration must present; `nil` lets everybody register.
    public var registrationToken: String?
    /// Names that an account can have; 0 gives none to anybody.
    public var namesPerAccount = 3

    public init() {}
}

/// What a ``HomeCore`` did and refused, since the start.
public struct HomeCounters: CounterSet {
    public static let family = "home"
    public static let names = [
        "itemsSent": "home.items.sent", "namesSigned": "home.names.signed", "namesRefused": "home.names.refused",
    ]

    public var registrations: UInt64 = 0
    public var attachments: UInt64 = 0
    public var accepted: UInt64 = 0
    /// The same message again, answered as before.
    public var duplicates: UInt64 = 0
    public var itemsSent: UInt64 = 0
    public var acknowledged: UInt64 = 0
    public var expired: UInt64 = 0
    /// How often the clock went back.
    public var clockTurns: UInt64 = 0
    public var malformed: UInt64 = 0
    public var unknownAccount: UInt64 = 0
    public var wrongSignature: UInt64 = 0
    public var wrongToken: UInt64 = 0
    public var replayed: UInt64 = 0
    public var full: UInt64 = 0
    /// Accounts whose entry in the store could not be read.
    public var damaged: UInt64 = 0
    public var takenOver: UInt64 = 0
    public var closed: UInt64 = 0
    /// Registrations of keys that an account had before, or of accounts that are closed.
    public var superseded: UInt64 = 0
    /// Records of names that were signed.
    public var namesSigned: UInt64 = 0
    /// Names that another account has, or that are too many.
    public var namesRefused: UInt64 = 0

    public init() {}
}
