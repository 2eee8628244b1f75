import Directory
import Primitives
import Records
import Storage
import Wire

/// Lookups that nobody asked for, at the times of a Poisson process, so that holders do not learn from a question that
/// somebody wants to reach somebody (specs/correspondence.md, "Cover lookups").
///
/// Half of them are for the own record, which shows whether its holders still have it; the others for a key that nobody
/// has. They take slots that would carry cover, and cost an observer's view nothing.
struct CoverLookups: Sendable {
    /// Holders asked of each ring, as in the first wave of a lookup.
    static let holdersPerRing = 2
    /// Milliseconds between two publications for want of replicas, so that a holder that denies what it has does not make
    /// an agent publish without end.
    static let pause: UInt64 = 3_600_000

    /// `nil` until records can be placed.
    var next: Timestamp?
    var nextRepublication = Timestamp(milliseconds: 0)
}

extension AgentCore {
    mutating func advanceCoverLookups(_ now: Timestamp, _ entropy: inout Entropy) {
        guard configuration.coverLookupInterval > 0 else { return }
        guard let due = coverLookups.next else { return scheduleCoverLookup(now, &entropy) }
        guard now >= due else { return }
        scheduleCoverLookup(now, &entropy)
        let isPublished = settings.isRegistered && settings.publishedSequence == settings.sequence
        if entropy.below(2) == 0, isPublished {
            askForOwnRecord(now.epoch, perRing: CoverLookups.holdersPerRing, asCover: true, &entropy)
        } else {
            askFirstWave(
                of: SigningKey(&entropy).publicKey, now.epoch, perRing: CoverLookups.holdersPerRing, asCover: true,
                &entropy, .dummyLookup)
        }
    }

    private mutating func scheduleCoverLookup(_ now: Timestamp, _ entropy: inout Entropy) {
        let wait = entropy.exponential(mean: Double(configuration.coverLookupInterval))
        coverLookups.next = now.adding(milliseconds: UInt64(min(wait, 86_400_000)))
    }

    /// - Returns: whom it asks.
    @discardableResult
    mutating func askFirstWave(
        of key: VerifyingKey, _ epoch: UInt64, perRing count: Int, asCover: Bool, _ entropy: inout Entropy,
        _ purpose: ReplyPurpose
    ) -> Set<NodeID> {
        var asked: Set<NodeID> = []
        for ring in network.rings(of: key, epoch: epoch) {
            var holders = ring
            entropy.shuffle(&holders)
            for holder in holders.prefix(count) {
                let question = DirectoryMessage.get(key: key, epoch: epoch).encode()
                let item = Outgoing.service(.directory, destination: holder, body: question, reply: purpose)
                if asCover { enqueueAsCover(item) } else { enqueue(item) }
                asked.insert(holder)
            }
        }
        return asked
    }
}
