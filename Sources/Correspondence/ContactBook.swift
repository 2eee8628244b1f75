import Records
import Wire

/// What is known of those to whom the user writes, or whose messages are receipted: as many as ``limit``, so that
/// strangers who write cannot fill the memory. The one asked for longest ago gives way, and is looked up again when it
/// is needed.
struct ContactBook: Sendable {
    let limit: Int
    private var entries: [NetworkID: KnownContact] = [:]

    init(limit: Int) { self.limit = limit }

    var count: Int { entries.count }

    subscript(id: NetworkID) -> KnownContact? {
        get { entries[id] }
        set {
            if newValue != nil, entries[id] == nil, entries.count >= limit { makeRoom() }
            entries[id] = newValue
        }
    }

    private mutating func makeRoom() {
        let oldest = entries.min { ($0.value.fetched, $0.key.key) < ($1.value.fetched, $1.key.key) }
        if let oldest { entries[oldest.key] = nil }
    }
}
