import Directory
import Federation
import Home
import Primitives
import Records
import Wire

/// What an agent is told.
public enum AgentEvent: Sendable {
    /// The link to a gateway stands.
    case linkUp(gateway: NodeID)
    case linkDown(gateway: NodeID)
    /// The servers that are on the map now, and what paths among them follow from.
    case map(MapView)
    /// A reply came into the mailbox: ``Geometry/payloadSize`` bytes.
    case reply(id: Bytes16, payload: [UInt8])
    /// Open an account at this server and publish the directory record.
    case register(home: NodeID, token: String, request: UInt64)
    /// Open an account at a second server, which takes messages when the first does not.
    case addHome(NodeID, token: String, request: UInt64)
    /// Open an account at this server in the place of that at `from`, or of the first one.
    case moveHome(to: NodeID, token: String, from: NodeID?, request: UInt64)
    /// Leave a home; with `discards` what waits there is given up.
    case removeHome(NodeID, discards: Bool, request: UInt64)
    /// Have a name at the home of `secret`, where the user has an account, or publish its record anew.
    case claimName(String, NameSecret, request: UInt64)
    /// Give a name up.
    case releaseName(String, home: NodeID, request: UInt64)
    case resolveName(NameQuery, request: UInt64)
    /// Replace all keys but the user's: the device was lost, or may have been read.
    case rotate(request: UInt64)
    case resolve(NetworkID, request: UInt64)
    case send(NetworkID, body: [UInt8], request: UInt64)
    /// The map wants to know what these servers say of it (``MapEffect/inquire(_:)``).
    case inquire([MapQuestion])
    /// ``AgentCore/nextWake`` has come.
    case wake
}

/// What an agent's driver must do, after it has committed the store.
public enum AgentEffect: Sendable {
    /// Send the envelope over the link to the gateway.
    case envelope([UInt8], gateway: NodeID)
    /// Claim a mailbox at the gateway.
    case claim(secret: Bytes32, gateway: NodeID)
    /// Make a new link with a gateway, whose mailbox is another day's; the present one serves until then, and for replies
    /// that are under way for a while longer.
    case renewLink(gateway: NodeID)
    /// The answer of a server's map service, for the map (``MapEvent/inquired(_:)``).
    case mapAnswer([UInt8])
    /// The shared random value of an epoch is known: the map draws by it too (``MapEvent/sharedRandom(epoch:_:)``).
    case sharedValue(epoch: UInt64, Bytes32)
    /// The gateways to keep links with are others now; see ``AgentCore/wantedGateways``.
    case gatewaysChanged
    /// The home has the account, and enough holders have the record.
    case registered(request: UInt64, RegistrationReport)
    /// Enough holders have a record without the home; it is collected from until every record that named it has expired.
    case homeRemoved(request: UInt64)
    /// Enough holders have a record with new keys.
    case rotated(request: UInt64, serial: UInt64)
    /// The home gave the name, and enough holders have its record.
    case named(request: UInt64, name: String)
    case nameReleased(request: UInt64, name: String)
    case nameResolved(request: UInt64, NameReport)
    /// The account at a home that was left is closed.
    case homeClosed(NodeID)
    /// Somebody else has published a record of this ID; see ``AgentCore/foreignRecord(at:)``.
    case foreignRecord(ForeignRecord)
    case resolved(request: UInt64, ResolveReport)
    /// The message is in the outbox, on disk.
    case queued(request: UInt64, messageID: Bytes16)
    /// The recipient's home has the whole message on disk.
    case accepted(messageID: Bytes16)
    /// The recipient's agent has it on disk.
    case delivered(messageID: Bytes16)
    /// The recipient could not be resolved now; the message stays in the outbox.
    case unresolved(messageID: Bytes16, AgentError)
    /// A message came and is on disk.
    case received(StoredMessage)
    case failed(request: UInt64, AgentError)
}

/// Why a request failed.
public enum AgentError: Error, Equatable, Sendable {
    /// Nobody publishes this ID: so many holders were asked, so many said that they have no record.
    case notFound(asked: Int, missing: Int)
    /// No holder answered.
    case noAnswer(asked: Int)
    /// So many lookups are under way already.
    case tooManyLookups(limit: Int)
    /// The map has relays of too few clusters for a path.
    case mapTooSmall(clusters: Int)
    /// The server is not on the map, or is no home.
    case unknownHome
    case homeRefused(HomeAnswer.Refusal)
    case homeUnreachable
    /// The text is longer than a message may be.
    case messageTooLong(limit: Int)
    case outboxFull(limit: Int)
    /// An ID that is not a point of the curve.
    case invalidID
    case notRegistered
    /// There is an account at another home already.
    case registeredElsewhere
    case tooManyHomes(limit: Int)
    /// The user has no account at this home, or has left it.
    case notYourHome
    /// The user has no such name.
    case notYourName
    /// The only home cannot be removed.
    case lastHome

    init(_ failure: LookupFailure) {
        switch failure {
        case .notFound(let asked, let missing): self = .notFound(asked: asked, missing: missing)
        case .noAnswer(let asked): self = .noAnswer(asked: asked)
        }
    }
}

/// How a lookup went.
public struct ResolveReport: Sendable, Equatable {
    public var id: NetworkID
    public var body: RecordBody
    public var sequence: UInt64
    /// Seconds since 1970.
    public var expiry: UInt64
    /// Directory servers asked.
    public var asked: Int
    public var answered: Int
    public var waves: Int
    /// Whether the holders had it, or the iterative fallback.
    public var usedFallback: Bool
    public var milliseconds: UInt64
    /// Hops of each request's path.
    public var pathLength: Int
}

/// How a registration went.
public struct RegistrationReport: Sendable, Equatable {
    public var account: Bytes16
    public var home: NodeID
    /// Holders that have the record.
    public var holders: Int
    public var asked: Int
    public var milliseconds: UInt64
}

/// A friendly address to look up.
public struct NameQuery: Hashable, Sendable {
    public var name: String
    public var cluster: VerifyingKey
    public var secret: NameSecret
    /// Whether another ID than at the first time is taken from now on.
    public var accepts: Bool

    public init(name: String, cluster: VerifyingKey, secret: NameSecret, accepts: Bool) {
        self.name = name
        self.cluster = cluster
        self.secret = secret
        self.accepts = accepts
    }
}

/// Where a friendly address leads.
public struct NameReport: Sendable, Equatable {
    public var id: NetworkID
    /// Whether it was never resolved before: from now on this ID is expected.
    public var isNew: Bool
    /// The ID that is expected, when the name leads to another one now.
    public var expected: NetworkID?
    /// Directory servers asked.
    public var asked: Int
    public var milliseconds: UInt64
}

/// One of the user's homes.
public struct HomeReport: Sendable, Equatable {
    public enum Stage: String, Sendable {
        /// The account is being opened.
        case opening
        /// In the record.
        case active
        /// Only collected from, until every record that named it has expired and nothing waits there.
        case leaving
    }

    public var node: NodeID
    public var account: Bytes16?
    public var stage: Stage
    /// When a home that is left is closed at the earliest.
    public var closesAfter: Timestamp?
}

/// Messages of the inbox to delete.
public enum InboxSelection: Sendable, Equatable {
    case message(Bytes16)
    case from(NetworkID)
    /// All up to this number.
    case through(UInt64)

    func contains(_ message: StoredMessage) -> Bool {
        switch self {
        case .message(let id): message.messageID == id
        case .from(let sender): message.sender == sender
        case .through(let number): message.number <= number
        }
    }
}

/// A message in the outbox.
public struct SentMessage: Sendable, Equatable {
    public enum State: UInt8, Sendable {
        /// On this disk only.
        case queued = 1
        /// On the disk of the recipient's home.
        case accepted = 2
        /// On the disk of the recipient.
        case delivered = 3
        /// Given up after its lifetime.
        case expired = 4
    }

    public var messageID: Bytes16
    public var recipient: NetworkID
    public var created: Timestamp
    public var state: State
    public var body: [UInt8]
}
