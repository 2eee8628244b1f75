import Directory
import Primitives
import Records
import Storage
import Wire

/// Looking at the own record: whether its holders have it, and whether somebody else has published one
/// (specs/agent.md, "Copies of an identity").
extension AgentCore {
    /// The last record of the own ID that somebody else published, while the user has to know of it.
    public func foreignRecord(at now: Timestamp) -> ForeignRecord? {
        ownRecords.notice(serial: identity.serial, now)
    }

    /// Asks holders of each ring for the own record of an epoch, as a lookup's first wave does.
    /// - Returns: whom.
    @discardableResult
    mutating func askForOwnRecord(
        _ epoch: UInt64, perRing count: Int, asCover: Bool, _ entropy: inout Entropy
    ) -> Set<NodeID> {
        guard let user = try? BlindedID(identity.id, epoch: epoch) else { return [] }
        counters.audits += 1
        return askFirstWave(
            of: user.key, epoch, perRing: count, asCover: asCover, &entropy,
            .audit(epoch: epoch, second: ownRecords.own(epoch)))
    }

    /// Something looks as if somebody else had published a record of this ID. Anybody can cause that by a false answer
    /// or message, so it leads to a question now and then at most.
    mutating func followSign(_ now: Timestamp, _ entropy: inout Entropy) {
        guard settings.isRegistered, isPlacementKnown(now), ownRecords.follows(now) else { return }
        askForOwnRecord(now.epoch, perRing: CoverLookups.holdersPerRing, asCover: true, &entropy)
    }

    /// A holder's answer to a question for the own record. Where it lacks the record, that is published anew; where it
    /// has one that is not this agent's, the user is told, and the own one is published above it.
    /// - Parameter second: of the record that it should have.
    mutating func auditAnswered(
        _ answer: DirectoryMessage, _ epoch: UInt64, second: UInt64, _ now: Timestamp,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        switch answer {
        case .record(let bytes):
            if let user = try? BlindedID(identity.id, epoch: epoch), let record = try? DirectoryRecord(decoding: bytes),
                record.blindedKey == user.key, record.epoch == epoch
            {
                let published = user.sequences.seconds(of: record.sequence)
                if published > second { try judge(record, of: user, published, now, &effects, &store) }
                if published >= second { return }
            }
        case .missing, .absent: break
        default:
            counters.malformedAnswers += 1
            return
        }
        counters.replicasMissing += 1
        guard second > 0, ownRecords.own(epoch) == second, now >= coverLookups.nextRepublication else { return }
        coverLookups.nextRepublication = now.adding(milliseconds: CoverLookups.pause)
        try publishAgain(epoch, at: now, &store)
    }

    /// A record newer than the one asked for: if it is signed, opens and is not this agent's, somebody else has the ID's
    /// key.
    private mutating func judge(
        _ record: DirectoryRecord, of user: BlindedID, _ second: UInt64, _ now: Timestamp,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard (try? record.verify(at: now)) != nil, let body = try? record.open(by: user, at: now) else {
            counters.invalidRecords += 1
            return
        }
        let found = ownRecords.take(
            second: second, epoch: user.epoch, serial: body.serial,
            hasOwnKeys: body.operational == identity.operational.publicKey, ownSerial: identity.serial, now)
        guard let found else { return }
        counters.foreignRecords += 1
        effects.append(.foreignRecord(found))
        try ownRecords.save(&store)
        // Two that answer each other at once would do so for ever.
        if !found.isContested, second > ownRecords.own(user.epoch) { try publishAgain(user.epoch, at: now, &store) }
    }

    private mutating func publishAgain(
        _ epoch: UInt64, at now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if epoch == now.epoch {
            settings.nextPublish = min(settings.nextPublish, now)
            try settings.save(&store)
        } else if epoch == ahead.epoch {
            ahead.repeated(at: now)
            try ahead.save(&store)
        }
    }
}
