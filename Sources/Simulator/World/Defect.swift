/// A world that is broken on purpose, to show that an invariant notices, and what a failure looks like.
public enum Defect: String, CaseIterable, Sendable {
    /// Effects are performed before the disk has what they tell of.
    case performsBeforeSync = "performs-before-sync"
    /// Relays forget at a restart which envelopes they have seen.
    case forgetsReplays = "forgets-replays"
    /// Agents forget at a restart which messages they have.
    case forgetsSeen = "forgets-seen"
    /// Servers start again with an empty disk.
    case losesDisk = "loses-disk"
    /// Outboxes take more than the bound.
    case longOutbox = "long-outbox"
    /// Servers that have crashed start again with what was on their disks when the warm-up ended.
    case restoresBackup = "restores-backup"
    /// Agents believe the first answer of a lookup.
    case believesFirst = "believes-first"
    /// Servers start again with an empty disk and number their descriptors by the hour.
    case repeatsSequence = "repeats-sequence"
}
