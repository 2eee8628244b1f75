import Primitives
import Records
import Wire

/// What a server's descriptors that it did not sign come to: a copy of its keys runs somewhere (specs/map.md, "Copies of a
/// server").
public struct CopyWatch: Sendable {
    /// So many foreign descriptors within an hour, and the server gives up: two that answer each other would not end.
    public static let limit = 3
    /// Seconds for which one counts.
    public static let memory: UInt64 = 3600

    /// The last foreign descriptor.
    public struct Sighting: Sendable, Equatable {
        public var address: SocketAddress
        public var noticed: Timestamp
        /// Foreign descriptors of the hour until then.
        public var count: Int

        /// Whether the other one goes on although this server has published above it.
        public var isContested: Bool { count >= CopyWatch.limit }
    }

    private var times: [Timestamp] = []
    /// The last one since the start.
    public private(set) var last: Sighting?

    public init() {}

    public mutating func saw(_ descriptor: ServerDescriptor, _ now: Timestamp) -> Sighting {
        times = times.suffix(CopyWatch.limit - 1).filter {
            now >= $0 && now.milliseconds(since: $0) < CopyWatch.memory * 1000
        }
        times.append(now)
        let sighting = Sighting(address: descriptor.tcp, noticed: now, count: times.count)
        last = sighting
        return sighting
    }
}
