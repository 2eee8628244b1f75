import NIOConcurrencyHelpers
import NIOCore
import Primitives
import Wire

/// How many links that others opened stand at a time, and what their other ends leave unread: in all, and from one place of
/// the network.
///
/// Without a bound, whoever opens connections and leaves them open uses up the process's file descriptors, and nobody
/// else gets in; or asks over each for much, reads nothing, and fills the memory. Spec: specs/wire.md, "Bounds of links".
public final class GuestBook: Sendable {
    /// Bytes that wait for all guests together.
    public static let backlogLimit = 1 << 28
    /// Bytes that wait for the guests of one place together.
    public static let placeBacklogLimit = 1 << 26
    /// A guest for which no more waits is not the one to leave.
    static let smallBacklog = 1 << 15

    private struct Place {
        var count = 0
        var backlog = 0
    }

    private struct Guests {
        var count = 0
        var backlog = 0
        var places: [Bytes16: Place] = [:]
    }

    /// The most links.
    public let limit: Int
    /// The most links from one IPv4 address, or one IPv6 network of 64 bits.
    public let placeLimit: Int
    private let backlogLimit: Int
    private let placeBacklogLimit: Int
    private let guests = NIOLockedValueBox(Guests())

    public init(
        limit: Int = 8192, placeLimit: Int = 1024, backlogLimit: Int = GuestBook.backlogLimit,
        placeBacklogLimit: Int = GuestBook.placeBacklogLimit
    ) {
        self.limit = limit
        self.placeLimit = placeLimit
        self.backlogLimit = backlogLimit
        self.placeBacklogLimit = placeBacklogLimit
    }

    /// How many links stand now.
    public var count: Int { guests.withLockedValue { $0.count } }
    /// Bytes that wait for guests now, as far as they were noted.
    public var backlog: Int { guests.withLockedValue { $0.backlog } }

    /// A link that has a place until its channel closes.
    struct Guest: Sendable {
        let book: GuestBook
        fileprivate let place: Bytes16

        /// Notes that `now` bytes wait for this guest, where `before` were noted last.
        /// - Returns: false when too much waits for all, or for those of its place, and it is one of those to blame.
        func owes(_ now: Int, before: Int) -> Bool {
            book.note(place, now, before: before)
        }
    }

    /// Takes a place for `channel` until it closes; `nil` when there is none.
    func admit(_ channel: any Channel) -> Guest? {
        guard let place = channel.remoteAddress.flatMap({ Wire.SocketAddress($0) }).map(GuestBook.place) else {
            return nil
        }
        let isAdmitted = guests.withLockedValue { guests in
            guard guests.count < limit, guests.places[place]?.count ?? 0 < placeLimit else { return false }
            guests.count += 1
            guests.places[place, default: Place()].count += 1
            return true
        }
        guard isAdmitted else { return nil }
        channel.closeFuture.whenComplete { _ in self.leave(place) }
        return Guest(book: self, place: place)
    }

    private func note(_ place: Bytes16, _ now: Int, before: Int) -> Bool {
        guests.withLockedValue { guests in
            guests.backlog += now - before
            guests.places[place]?.backlog += now - before
            let ofPlace = guests.places[place]?.backlog ?? 0
            return now <= GuestBook.smallBacklog || (guests.backlog <= backlogLimit && ofPlace <= placeBacklogLimit)
        }
    }

    private func leave(_ place: Bytes16) {
        guests.withLockedValue { guests in
            guests.count -= 1
            let left = (guests.places[place]?.count ?? 1) - 1
            guests.places[place]?.count = left
            if left <= 0 { guests.places[place] = nil }
        }
    }

    private static func place(_ address: Wire.SocketAddress) -> Bytes16 {
        guard address.v4 == nil else { return address.address }
        return Bytes16(address.address.bytes.prefix(8) + [UInt8](repeating: 0, count: 8)) ?? address.address
    }
}
