import Primitives
import Wire

/// With which servers this one has stream links, since when, and until when it had one with others: for its operator.
///
/// Servers go by their link keys, which are known before the map names them. Links of agents are none of its business.
struct LinkBook {
    struct Entry {
        /// The open ones: each of two servers may have opened one.
        var links: Set<UInt64> = []
        /// Since when there is one, or there is none; `nil` when there never was.
        var since: Timestamp?
        /// Whether the operator was told of it: not before the map has a name for the server.
        var isTold = false
        /// Why the last one ended, or did not come about.
        var failure: String?
    }

    /// Servers remembered without a link; of more, those that were lost first are forgotten.
    static let limit = 4096

    private var entries: [X25519PublicKey: Entry] = [:]
    private var servers: [UInt64: X25519PublicKey] = [:]

    func entry(_ server: X25519PublicKey) -> Entry? { entries[server] }

    /// Servers with which there is a link.
    private(set) var linked = 0

    mutating func up(_ link: UInt64, _ server: X25519PublicKey, _ now: Timestamp) {
        servers[link] = server
        var entry = entries[server] ?? Entry()
        entry.links.insert(link)
        if entry.links.count == 1 {
            entry.since = now
            linked += 1
        }
        entry.failure = nil
        entries[server] = entry
    }

    /// Servers with links of which the operator was not told.
    var untold: [X25519PublicKey] { entries.filter { !$0.value.links.isEmpty && !$0.value.isTold }.map(\.key) }

    /// - Returns: whether this is news: there is a link, and nobody was told.
    mutating func tell(_ server: X25519PublicKey) -> Bool {
        guard let entry = entries[server], !entry.links.isEmpty, !entry.isTold else { return false }
        entries[server]?.isTold = true
        return true
    }

    /// - Returns: the server, when that was the last link with it and the operator was told of it; and since when there
    ///   was one.
    mutating func down(_ link: UInt64, _ reason: String?, _ now: Timestamp) -> (
        server: X25519PublicKey, since: Timestamp
    )? {
        guard let server = servers.removeValue(forKey: link), var entry = entries[server] else { return nil }
        entry.links.remove(link)
        guard entry.links.isEmpty else {
            entries[server] = entry
            return nil
        }
        linked -= 1
        // Anybody can make a key and connect: of those that the map does not name, nothing is kept.
        guard entry.isTold, let since = entry.since else {
            entries[server] = nil
            return nil
        }
        entry.isTold = false
        entry.since = now
        entry.failure = reason
        entries[server] = entry
        prune()
        return (server, since)
    }

    /// A link to the server did not come about.
    /// - Returns: whether it is the first failure since there was a link, or ever.
    mutating func failed(_ server: X25519PublicKey, _ reason: String) -> Bool {
        var entry = entries[server] ?? Entry()
        guard entry.links.isEmpty else { return false }
        let isNew = entry.failure == nil
        entry.failure = reason
        entries[server] = entry
        prune()
        return isNew
    }

    private mutating func prune() {
        guard entries.count - linked > LinkBook.limit else { return }
        let lost = entries.filter { $0.value.links.isEmpty }.sorted {
            ($0.value.since?.milliseconds ?? 0) < ($1.value.since?.milliseconds ?? 0)
        }
        // A quarter at once, so that not each loss takes a pass.
        for (server, _) in lost.prefix(LinkBook.limit / 4) { entries[server] = nil }
    }
}
