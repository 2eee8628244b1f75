import Primitives
import Wire

/// A clock that went back: what was planned by the time that it showed before would wait until it shows that again
/// (specs/correspondence.md, "A clock that goes back").
extension AgentCore {
    /// Plans anew, as after a restart: what waited for a moment is due, and what was asked is waited for as long again.
    mutating func turnBack(to now: Timestamp, by amount: UInt64, _ entropy: inout Entropy) {
        counters.clockTurns += 1
        if nextTick != nil { scheduleTick(now, &entropy) }
        nextExpiry = nil
        nextSweep = nil
        health.forgetLoops(now)
        guards.turnBack(by: amount)
        mailboxes.turnBack()
        shared.turnBack(to: now)
        coverLookups = CoverLookups()
        for home in homeContacts.keys {
            homeContacts[home]?.nextAttach = now
            homeContacts[home]?.nextClosing = nil
            homeContacts[home]?.lastEmpty = nil
        }
        for home in registrations.keys {
            registrations[home]?.started = now
            registrations[home]?.nextTry = now
        }
        outbox.turnBack(to: now, receiptRetry: configuration.receiptRetry)
        for id in lookups.keys { lookups[id]?.turnBack(by: amount) }
        for label in nameLookups.keys { nameLookups[label]?.lookup.turnBack(by: amount) }
        // Records of the day that the clock showed are no use; those of today are published at once.
        publications = [:]
        settings.nextPublish = min(settings.nextPublish, now)
        names.turnBack(to: now)
    }
}
