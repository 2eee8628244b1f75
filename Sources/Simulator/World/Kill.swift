/// The end of a process while it handles an event.
struct Kill: Sendable {
    enum Moment: CaseIterable, Sendable {
        /// The transaction is not committed and no effect performed.
        case beforeCommit
        /// The transaction is committed and no effect performed.
        case afterCommit
        /// The transaction is committed and the first effect performed.
        case duringEffects
    }

    /// The number of the event since the start of the world.
    var handle: Int
    var moment: Moment
}

/// What came of an event: the effects that are performed, and whether the process ended.
struct Outcome<Effect> {
    var effects: [Effect]
    var isDead = false
}
