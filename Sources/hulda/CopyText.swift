import Correspondence
import Glibc
import Wire

/// What a user is told when somebody else has published a record of his ID (specs/agent.md, "Copies of an identity").
struct CopyText: Encodable {
    let warning: String
    let next: String
    /// Seconds since 1970 at which the foreign record was published.
    let published: UInt64
    /// Of the keys in it.
    let serial: UInt64
    let hasOwnKeys: Bool
    let revokesOwn: Bool
    /// Foreign records within a day.
    let sightings: Int

    init(_ record: ForeignRecord) {
        published = record.published
        serial = record.serial
        hasOwnKeys = record.hasOwnKeys
        revokesOwn = record.revokesOwn
        sightings = record.sightings
        let times = record.sightings == 1 ? "" : ", \(record.sightings) times within a day"
        warning =
            "somebody else has published a record of your ID\(times), the last at \(LocalTime.text(record.published)): "
            + "there is another copy of this identity"
            + (record.revokesOwn ? ", and it has replaced your keys: what is sent to you cannot be read here" : "")
        let remedy =
            record.revokesOwn
            ? "hulda id rotate makes this one's keys the newest again."
            : "This one has published its own record above it."
        next =
            "Is it your own copy, or a backup that you restored? Then use one of them only. \(remedy) "
            + (record.isContested
                ? "It goes on: somebody else holds your ID's key, and nothing takes it from him. Make a new ID, and tell "
                    + "your contacts by another way."
                : "If it is seen again, somebody else holds your ID's key: make a new ID then.")
    }

    /// Prints it beside the results.
    func show(_ output: OutputOptions) {
        guard !output.json else { return output.print(self, to: STDERR_FILENO) { "" } }
        OutputOptions.tell("hulda: \(warning).\n       \(next)")
    }
}
