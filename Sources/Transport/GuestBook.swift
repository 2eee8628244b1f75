import NIOConcurrencyHelpers
import NIOCore
import Primitives
import Wire

/// How many links that others opened stand at a time: in all, and from one place of the network.
///
/// Without a bound, whoever opens connections and leaves them open uses up the process's file descriptors, and nobody
/// else gets in. Spec: specs/wire.md, "Bounds of links".
public final class GuestBook: Sendable {
    private struct Guests {
        var count = 0
        var places: [Bytes16: Int] = [:]
    }

    /// The most links.
    public let limit: Int
    /// The most links from one IPv4 address, or one IPv6 network of 64 bits.
    public let placeLimit: Int
    private let guests = NIOLockedValueBox(Guests())

    public init(limit: Int = 8192, placeLimit: Int = 1024) {
        self.limit = limit
        self.placeLimit = placeLimit
    }

    /// How many links stand now.
    public var count: Int { guests.withLockedValue { $0.count } }

    /// Takes a place for `channel` until it closes; false when there is none.
    func admit(_ channel: any Channel) -> Bool {
        guard let place = channel.remoteAddress.flatMap({ Wire.SocketAddress($0) }).map(GuestBook.place) else {
            return false
        }
        let isAdmitted = guests.withLockedValue { guests in
            guard guests.count < limit, guests.places[place, default: 0] < placeLimit else { return false }
            guests.count += 1
            guests.places[place, default: 0] += 1
            return true
        }
        if isAdmitted { channel.closeFuture.whenComplete { _ in self.leave(place) } }
        return isAdmitted
    }

    private func leave(_ place: Bytes16) {
        guests.withLockedValue { guests in
            guests.count -= 1
            let left = guests.places[place, default: 1] - 1
            guests.places[place] = left > 0 ? left : nil
        }
    }

    private static func place(_ address: Wire.SocketAddress) -> Bytes16 {
        guard address.v4 == nil else { return address.address }
        return Bytes16(address.address.bytes.prefix(8) + [UInt8](repeating: 0, count: 8)) ?? address.address
    }
}
