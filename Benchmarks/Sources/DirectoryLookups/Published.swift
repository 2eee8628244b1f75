import DirectoryClient
import Records

/// A user's record, as the servers have it.
struct Published {
    let user: NetworkID
    let encoded: [UInt8]
    /// The servers that hold it, by ring.
    let rings: [[Server]]
}
