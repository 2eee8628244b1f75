import Transport
import Wire

/// The addresses of agents that came, for a testbed, on which tests compare who met whom.
///
/// Elsewhere a gateway keeps no list of its users' addresses: it would be what is seized. ``NodeConfiguration`` refuses
/// the switch for anything but loopback addresses. Confined to the relay's event loop.
struct VisitorList {
    /// Addresses in a list.
    private static let limit = 1000

    private var withMailbox: Set<String> = []
    private var others: Set<String> = []

    /// Agents that had a mailbox here.
    var agentAddresses: [String] { withMailbox.sorted() }

    /// Agents that fetched the map here and had their mailbox elsewhere.
    var mapAddresses: [String] { others.sorted() }

    mutating func opened(_ link: StreamLink) {
        guard let host = VisitorList.host(link), !withMailbox.contains(host), others.count < VisitorList.limit else {
            return
        }
        others.insert(host)
    }

    mutating func claimed(_ link: StreamLink) {
        guard let host = VisitorList.host(link), withMailbox.count < VisitorList.limit else { return }
        others.remove(host)
        withMailbox.insert(host)
    }

    private static func host(_ link: StreamLink) -> String? { link.remote.flatMap { SocketAddress($0) }?.host }
}
