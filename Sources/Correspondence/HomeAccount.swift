import Home
import Primitives
import Records
import Wire

/// An account of this user at one home, as it is remembered across restarts (specs/correspondence.md, "Homes").
struct HomeAccount: Sendable, Equatable {
    enum Stage: UInt8, Sendable {
        /// The account is being opened; no record names it yet.
        case opening = 1
        /// In the record.
        case active = 2
        /// Another home takes its place: still in the record until enough holders have one with the successor.
        case handing = 3
        /// In no new record; items are collected until every record that named it has expired.
        case leaving = 4
    }

    /// Homes at a time, those that are being left included.
    static let limit = 4

    let node: NodeID
    /// Drawn when the account is opened; see ``Identity/accountKey(home:incarnation:)``.
    var incarnation: UInt64
    var account: Bytes16?
    /// What the home wanted to see, in case it loses the account.
    var token: String
    var stage: Stage
    /// Counter of the last attachment.
    var counter: UInt64 = 0
    /// Of the identity whose key the home has for the account.
    var serial: UInt64
    /// The home that this one takes the place of.
    var replaces: NodeID?
    /// When the last record that names this home expires, in seconds.
    var listedUntil: UInt64 = 0
    /// Whether items that still wait there are given up.
    var discards = false

    init(node: NodeID, incarnation: UInt64, token: String, stage: Stage, serial: UInt64, replaces: NodeID? = nil) {
        self.node = node
        self.incarnation = incarnation
        self.token = token
        self.stage = stage
        self.serial = serial
        self.replaces = replaces
    }

    var reportedStage: HomeReport.Stage {
        switch stage {
        case .opening: .opening
        case .active: .active
        case .handing, .leaving: .leaving
        }
    }

    /// Whether a record may name it.
    var isListed: Bool { account != nil && (stage == .active || stage == .handing) }

    init(_ reader: inout Reader) throws(WireError) {
        node = try reader.fixed()
        incarnation = try reader.uint64()
        account = try HomeAccount.optional(&reader)
        token = try reader.string(limit: HomeRequest.Registration.tokenLimit, field: "token")
        guard let stage = Stage(rawValue: try reader.uint8()) else { throw .outOfRange(field: "stage") }
        self.stage = stage
        counter = try reader.uint64()
        serial = try reader.uint64()
        replaces = try HomeAccount.optional(&reader)
        listedUntil = try reader.uint64()
        discards = try reader.uint8() & 1 == 1
    }

    func encode(_ writer: inout Writer) {
        writer.fixed(node)
        writer.uint64(incarnation)
        HomeAccount.encode(account, &writer)
        writer.string(token)
        writer.uint8(stage.rawValue)
        writer.uint64(counter)
        writer.uint64(serial)
        HomeAccount.encode(replaces, &writer)
        writer.uint64(listedUntil)
        writer.uint8(discards ? 1 : 0)
    }

    private static func optional<T: FixedBytes>(_ reader: inout Reader) throws(WireError) -> T? {
        let isThere = try reader.uint8() & 1 == 1
        let value: T = try reader.fixed()
        return isThere ? value : nil
    }

    private static func encode<T: FixedBytes>(_ value: T?, _ writer: inout Writer) {
        writer.uint8(value == nil ? 0 : 1)
        writer.fixed(value ?? T())
    }
}

/// What is under way with one home; a restart begins anew.
struct HomeContact: Sendable {
    /// Items that are safe here and that the home does not know of yet.
    var toAcknowledge: [UInt64] = []
    var nextAttach: Timestamp?
    var isAttachQueued = false
    var attachFailures = 0
    /// Whether the home has not answered since a gateway was last connected.
    var isReturning = true
    /// When the home last said that nothing waits.
    var lastEmpty: Timestamp?
    var nextClosing: Timestamp?
    var closings = 0

    mutating func acknowledge(_ item: UInt64) {
        if !toAcknowledge.contains(item) { toAcknowledge.append(item) }
    }
}
