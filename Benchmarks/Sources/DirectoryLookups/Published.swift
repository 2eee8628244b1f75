import DirectoryClient
import Primitives

/// A user's record, and under which key the servers have it.
struct Published {
    let user: VerifyingKey
    let key: VerifyingKey
    let encoded: [UInt8]
    /// The servers that hold it, by ring.
    let rings: [[Server]]
}
