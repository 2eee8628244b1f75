import Primitives
import Records
import Synchronization
import Wire

/// Many cores in one process.
extension DirectoryCore {
    /// Gives a core its first map together with placements that were computed once for all cores of a process: what
    /// ``DirectoryEvent/map(_:)`` does for one core costs a hash of every node.
    /// - Parameters:
    ///   - placements: by epoch, of the same nodes.
    ///   - links: the link keys of the same nodes; of a large map they take several megabytes in each core otherwise.
    ///   - checked: what the cores of the process have checked already.
    public mutating func share(
        _ nodes: [Placement.Node], placements: [UInt64: Placement], links: Set<X25519PublicKey>? = nil,
        checked: CheckedSignatures? = nil
    ) {
        self.nodes = nodes
        listedLinks = links
        self.placements = placements
        self.checked = checked
        markListed()
    }

    /// Calls that a contact is taken to have answered before.
    private static let adoptedCalls = 5

    /// Takes over the routing table of a server that has been running for long: whoever finds a place is in it, without
    /// having been asked. The caller says who is on the map, and how long each takes to answer. Its own times are spread, as those of such servers are.
    public mutating func adopt(
        _ contacts: some Sequence<(contact: Contact, cluster: VerifyingKey, isListed: Bool, roundTrip: UInt64)>,
        now: Timestamp, entropy: inout Entropy
    ) {
        for (contact, cluster, isListed, roundTrip) in contacts {
            _ = table.insert(contact, cluster: cluster, isListed: isListed, now: now)
            for _ in 0..<DirectoryCore.adoptedCalls { table.measured(contact.nodeID, milliseconds: roundTrip) }
            usual.measured(roundTrip)
        }
        func later(_ interval: UInt64) -> Timestamp {
            now.adding(milliseconds: UInt64(entropy.below(Int(clamping: max(1, interval)))))
        }
        nextRefresh = later(configuration.refreshInterval)
        nextSweep = later(DirectoryCore.sweepInterval)
        nextNeighbours = later(configuration.neighbourInterval)
        nextWatch = later(EclipseWatch.roundInterval)
        nextRound = nextRound(after: now)
        nextWake = nextRound
    }

    /// Checks a record's dates and its signature, which needs no second check if another core of the process made it.
    func verify(_ record: DirectoryRecord, _ bytes: [UInt8], _ now: Timestamp) throws(RecordError) {
        guard let checked else { return try record.verify(at: now) }
        try record.checkTime(at: now)
        let digest = BLAKE2b.h(Domain("hulda/dir-rec"), bytes)
        guard !checked.contains(digest) else { return }
        try record.verify(at: now)
        checked.insert(digest)
    }
}

extension DirectoryCore {
    /// Where searches without a map look for a record: `H("hulda/dir-kad", A' ‖ SRV)`, and with the place's number after
    /// that for the second and third.
    /// - Parameters:
    ///   - place: 0, 1 or 2.
    ///   - shared: the epoch's shared random value; `nil` for the stand-in that everybody can compute.
    public static func kademliaTarget(
        of key: VerifyingKey, epoch: UInt64, place: UInt8 = 0, shared: Bytes32? = nil
    ) -> Bytes32 {
        Placement.searchTarget(of: key, place: place, shared: shared ?? Placement.sharedRandom(epoch: epoch))
    }
}

/// Digests of records and descriptors whose signatures were found valid: whether a signature is depends on nothing but
/// the bytes, so the cores of one process need not each check the same ones. Dates are checked every time.
public final class CheckedSignatures: Sendable {
    /// When there are so many, all are forgotten.
    static let limit = 1 << 22
    private let digests = Mutex<Set<Bytes32>>([])
    private let proofs = Mutex<[Bytes32: Proof]>([:])

    /// A descriptor that was found valid, and the contact that it proves.
    struct Proof: Sendable {
        let descriptor: ServerDescriptor
        let contact: Contact

        func isCurrent(at now: Timestamp) -> Bool { descriptor.isCurrent(at: now) }
    }

    public init() {}

    func contains(_ digest: Bytes32) -> Bool { digests.withLock { $0.contains(digest) } }

    func insert(_ digest: Bytes32) {
        digests.withLock { digests in
            if digests.count >= CheckedSignatures.limit { digests = [] }
            digests.insert(digest)
        }
    }

    func proof(_ digest: Bytes32) -> Proof? { proofs.withLock { $0[digest] } }

    func insert(_ proof: Proof, _ digest: Bytes32) {
        proofs.withLock { proofs in
            if proofs.count >= CheckedSignatures.limit { proofs = [:] }
            proofs[digest] = proof
        }
    }
}
