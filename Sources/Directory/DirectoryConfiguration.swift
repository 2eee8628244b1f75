import Primitives
import Records
import Wire

/// The bounds and habits of a ``DirectoryCore``. Times are in milliseconds.
public struct DirectoryConfiguration: Sendable {
    /// Records held.
    public var recordLimit = 200_000
    /// Bytes of records held.
    public var byteLimit = 200_000 * 1024
    /// Records held that agents brought, all together: servers keep room for repair.
    public var sealedRecordLimit = 160_000
    /// Records held that servers of one address prefix brought, and those whose address was not proven.
    public var prefixRecordLimit = 20_000
    /// Requests a second from proven addresses of one prefix.
    public var prefixRate = 500
    /// Requests a second with unproven addresses of one prefix.
    public var unprovenRate = 100
    /// Requests a second in envelopes, all together.
    public var sealedRate = 20_000
    /// Records a second whose signature is checked; further ones wait.
    public var checkRate = 4000
    /// Negative statements signed a second; further misses are not signed.
    public var signatureRate = 4000
    /// Puts of the last seconds beyond which they cost work.
    public var freePuts = 1000
    /// Puts a second for which a solution without a challenge counts: such can have been found ahead.
    public var unchallengedRate = 10
    /// Whether many puts and a store half full make puts cost work.
    public var demandsPuzzles = true
    /// Searches under way at a time.
    public var iterationLimit = 64
    /// Calls under way at a time.
    public var callLimit = 512
    /// Between two refreshes of the routing table.
    public var refreshInterval: UInt64 = 600_000
    /// A contact that was silent this long is asked whether it lives.
    public var livenessInterval: UInt64 = 900_000
    /// Between two rounds of asking the neighbours on the circle whether they live.
    public var neighbourInterval: UInt64 = 120_000
    /// A contact that was silent longer is not named to others.
    public var answerAge: UInt64 = 1_800_000
    /// Between two rounds of housekeeping.
    public var roundInterval: UInt64 = 1000
    /// Records looked at for repair in one round, and calls made for it.
    public var repairBatch = 4096
    public var repairCalls = 128
    /// Holders asked in one round whether they have what others should have brought them.
    public var compareCalls = 4
    /// Copies that the first holders keep at the nodes closest by XOR, for searches without a map.
    public var kademliaCopies = 8

    /// The highest request that is answered; lower while a federation is upgraded (specs/map.md, "Versions").
    public var highestRequest = DirectoryMessage.highestRequest

    public init() {}

    /// - Parameter records: held at most; the shares of those who bring them follow, as specs/directory.md, "Storage",
    ///   has them.
    public init(records: Int) {
        recordLimit = records
        byteLimit = records * 1024
        sealedRecordLimit = records / 5 * 4
        prefixRecordLimit = records / 10
    }
}

/// What a directory server did and refused, since the start.
public struct DirectoryCounters: CounterSet {
    public static let family = "directory"

    public var requests: UInt64 = 0
    public var hits: UInt64 = 0
    public var misses: UInt64 = 0
    public var stored: UInt64 = 0
    public var expired: UInt64 = 0
    /// How often the clock went back.
    public var clockTurns: UInt64 = 0
    public var malformed: UInt64 = 0
    /// Requests of a later version.
    public var unsupported: UInt64 = 0
    public var wrongEpoch: UInt64 = 0
    public var notResponsible: UInt64 = 0
    public var notNewer: UInt64 = 0
    /// Two different validly signed records of one sequence.
    public var conflicting: UInt64 = 0
    public var wrongSignature: UInt64 = 0
    public var full: UInt64 = 0
    public var busy: UInt64 = 0
    /// Requests refused because a prefix, or all envelopes together, sent too many a second.
    public var overRate: UInt64 = 0
    /// Calls that this core gave up by itself, because nobody said what became of them.
    public var callsOverdue: UInt64 = 0
    /// Records that waited for a signature check.
    public var queued: UInt64 = 0
    /// Records refused because those who bring them have used up their share.
    public var overQuota: UInt64 = 0
    /// Puts that have to come again with a puzzle solved, and solutions that were good enough.
    public var puzzlesDemanded: UInt64 = 0
    public var puzzlesAccepted: UInt64 = 0
    /// Solutions over a challenge that this server has not handed out lately, or not at all.
    public var puzzlesOutdated: UInt64 = 0
    /// Accepted solutions of publishers that know no challenges.
    public var puzzlesUnchallenged: UInt64 = 0
    /// Negative statements signed.
    public var signedMisses: UInt64 = 0
    public var callsFailed: UInt64 = 0
    /// Answers whose descriptor does not prove who answered.
    public var forgedAnswers: UInt64 = 0
    /// Alarms of the ``EclipseWatch``.
    public var alarms: UInt64 = 0
    /// Servers that were not let into the routing table while an alarm held.
    public var frozenOut: UInt64 = 0
    public var repairs: UInt64 = 0
    /// Records handed to others once more because they were busy, or wanted the address proven.
    public var putsRepeated: UInt64 = 0
    /// Records of which new holders were asked whether they have them.
    public var compared: UInt64 = 0
    /// Nodes on the map that did not answer twice in a row.
    public var silentHolders: UInt64 = 0
    /// Times that several neighbours on the circle fell silent together.
    public var massLosses: UInt64 = 0
    public var searches: UInt64 = 0
    /// Round trips that followed one another in searches, added up.
    public var searchRounds: UInt64 = 0
    /// Calls that searches for records made.
    public var searchCalls: UInt64 = 0
    /// Answers that did not come within the wait that the peer's round trips suggest.
    public var lateAnswers: UInt64 = 0
    /// Contacts in answers that named the asker, or one address twice.
    public var refusedContacts: UInt64 = 0
    /// Contacts that searches did not ask, since too many of their prefix that others had named did not answer.
    public var namedSkipped: UInt64 = 0
    /// Contacts in answers that were the answerer itself.
    public var selfNamed: UInt64 = 0
    /// Answerers of whose contacts three failed in one search.
    public var misleading: UInt64 = 0

    public init() {}
}

/// What a ``DirectoryCore`` is told.
public enum DirectoryEvent: Sendable {
    /// Servers to begin with that the map has: what shows them does not speak for itself, so they count for no trust.
    case join([Endpoint])
    /// Servers to begin with, and where they are known from; once more when they are found elsewhere.
    case bootstrap(BootstrapSource, [Endpoint])
    /// All that a source names now, by their link keys: others of it are not begun with any more, and speak for nothing.
    case listed(BootstrapSource, Set<X25519PublicKey>)
    /// A request came; `from` is the sender of a datagram, `nil` for an envelope. Its link key is proven, its address only
    /// where `isProven` says so: to any other goes nothing but the answer.
    case request(from: Endpoint?, isProven: Bool = false, token: UInt64, message: [UInt8])
    /// A call was answered.
    case answer(call: UInt64, message: [UInt8])
    /// A call was not answered in time.
    case failed(call: UInt64)
    /// The directory servers that are on the map now.
    case map([Placement.Node])
    /// The placement of an epoch on the map that was told last, if somebody has it already: many servers in one process
    /// share its memory. Without this event each server computes it.
    case placement(epoch: UInt64, Placement)
    /// A stream link to another server stands, over which frames of ``SharedRandomCore/kinds`` may go.
    case linkUp(UInt64)
    case linkDown(UInt64)
    /// A frame of one of these kinds came.
    case frame(link: UInt64, [UInt8])
    /// The operator wants to know where the record of an ID is; ``DirectoryEffect/lookedUp(request:_:)`` says it.
    case lookUp(request: UInt64, NetworkID)
    /// ``DirectoryCore/nextWake`` has come.
    case wake
}

/// What the driver must do for a ``DirectoryCore``, after it has committed the store where ``awaitsCommit`` says so.
public enum DirectoryEffect: Sendable {
    /// Send the message over UDP and report the answer or the failure.
    case call(UInt64, to: Endpoint, message: [UInt8])
    /// Answer the request that came with this token.
    case answer(token: UInt64, message: [UInt8])
    /// The join is over; so many contacts are in the routing table.
    case joined(contacts: Int)
    /// Something looks like an eclipse: nobody new is let in for an hour, searches go all paths. Tell the operator.
    case alarm(EclipseWatch.Alarm, detail: String)
    /// Send the frame over a stream link to another server.
    case send(link: UInt64, [UInt8])
    /// The shared random value of an epoch is known: the map draws by it too.
    case sharedValue(epoch: UInt64, Bytes32)
    /// Tell the operator how the making of a shared random value went.
    case sharedRandom(SharedRandomReport)
    /// A lookup is over, or was not begun.
    case lookedUp(request: UInt64, Result<LookupReport, LookupRefusal>)
}

extension DirectoryEffect {
    /// Whether it tells others of something that this server must not forget: that a record is stored, or its part in a
    /// shared random value. Questions, records and searches are the same whether the last writes survive or not.
    public var awaitsCommit: Bool {
        switch self {
        case .answer(_, let message): DirectoryMessage.isPromise(message)
        case .send, .sharedRandom: true
        case .call, .joined, .alarm, .sharedValue, .lookedUp: false
        }
    }
}
