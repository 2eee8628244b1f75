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
            auditReplicas(now, &entropy)
        } else {
            askFirstWave(of: SigningKey(&entropy).publicKey, now, &entropy, .dummyLookup)
        }
    }

    private mutating func scheduleCoverLookup(_ now: Timestamp, _ entropy: inout Entropy) {
        let wait = entropy.exponential(mean: Double(configuration.coverLookupInterval))
        coverLookups.next = now.adding(milliseconds: UInt64(min(wait, 86_400_000)))
    }

    private mutating func auditReplicas(_ now: Timestamp, _ entropy: inout Entropy) {
        guard let user = try? BlindedID(identity.id, epoch: now.epoch) else { return }
        counters.audits += 1
        askFirstWave(of: user.key, now, &entropy, .audit(user.key, number: settings.sequence))
    }

    private mutating func askFirstWave(
        of key: VerifyingKey, _ now: Timestamp, _ entropy: inout Entropy, _ purpose: ReplyPurpose
    ) {
        for ring in network.rings(of: key, epoch: now.epoch) {
            var holders = ring
            entropy.shuffle(&holders)
            for holder in holders.prefix(CoverLookups.holdersPerRing) {
                let question = DirectoryMessage.get(key: key, epoch: now.epoch).encode()
                enqueueAsCover(.service(.directory, destination: holder, body: question, reply: purpose))
            }
        }
    }

    /// A holder's answer to a question for the own record. Where it lacks the record, that is published anew.
    mutating func auditAnswered(
        _ answer: DirectoryMessage, key: VerifyingKey, number: UInt64, _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch answer {
        case .record(let bytes):
            if let record = try? DirectoryRecord(decoding: bytes), record.blindedKey == key {
                let base = SequenceBase(user: identity.user.publicKey, epoch: record.epoch)
                if base.seconds(of: record.sequence) >= number { return }
            }
        case .missing, .absent: break
        default:
            counters.malformedAnswers += 1
            return
        }
        counters.replicasMissing += 1
        guard settings.sequence == number, now >= coverLookups.nextRepublication else { return }
        coverLookups.nextRepublication = now.adding(milliseconds: CoverLookups.pause)
        settings.nextPublish = min(settings.nextPublish, now)
        try settings.save(&store)
    }
}
