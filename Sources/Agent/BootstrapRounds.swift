import NIOCore
import Primitives
import Records

/// When an agent asks peers of its bootstrap list for the map, and how many (specs/map.md, "An agent's first map").
///
/// A peer is asked, and left when its map has come: it sees that the agent starts, not how long it stays. While the map
/// has too few clusters for a path, or no gateway of it answers, others are asked again and again, a few at a time.
struct BootstrapRounds {
    /// Links with bootstrap peers at a time, those under way included.
    static let limit = 4
    /// Peers of one round.
    private static let perRound = 2
    /// After a round in which nobody answered the next one begins.
    private static let firstPause = TimeAmount.seconds(3)
    /// Between two rounds with answers.
    private static let pause = TimeAmount.seconds(15)
    /// A link is closed after this whatever has come: newcomers of a small map are told of at once until then.
    static let patience = TimeAmount.seconds(10)

    /// Links under way, and those that stand.
    private(set) var connecting = 0
    private(set) var open: Set<UInt64> = []
    private var nextRound = NIODeadline.uptimeNanoseconds(0)

    /// - Returns: the peers to connect with now.
    mutating func begin(_ peers: [PeerLink], at now: NIODeadline, entropy: inout Entropy) -> [PeerLink] {
        guard now >= nextRound else { return [] }
        nextRound = now + BootstrapRounds.firstPause
        var drawn = peers
        entropy.shuffle(&drawn)
        let room = BootstrapRounds.limit - connecting - open.count
        let chosen = Array(drawn.prefix(max(0, min(BootstrapRounds.perRound, room))))
        connecting += chosen.count
        return chosen
    }

    /// A link stands: the next round can wait.
    mutating func established(_ link: UInt64, at now: NIODeadline) {
        connecting -= min(connecting, 1)
        open.insert(link)
        nextRound = max(nextRound, now + BootstrapRounds.pause)
    }

    /// - Parameter link: `nil` for one that did not come about.
    mutating func closed(_ link: UInt64?) {
        if let link, open.remove(link) != nil { return }
        connecting -= min(connecting, 1)
    }
}
