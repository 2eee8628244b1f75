/// The places of a relay's queue: one half for servers on the map and one for guests, each divided among its senders.
///
/// A server passes on the envelopes of many agents. Guests are cheap to make, so all of them together cannot crowd out
/// what servers send.
struct QueueShares: Sendable {
    /// A server alone may hold an eighth of an idle queue's half: at a mean delay of 50 ms, and as long again for the
    /// disk, 40,000 envelopes a second.
    static let serverDivisor = 8
    /// A guest alone may hold 512. At its pace it sends some 200 within the longest delay.
    static let guestDivisor = 64

    private var servers: BufferShares<EnvelopeSource>
    private var guests: BufferShares<EnvelopeSource>

    init(capacity: Int) {
        servers = BufferShares(capacity: capacity - capacity / 2)
        guests = BufferShares(capacity: capacity / 2)
    }

    func isFull(for source: EnvelopeSource) -> Bool {
        switch source {
        case .server: servers.isFull
        case .guest: guests.isFull
        }
    }

    /// Takes a place; false when `source` has its share.
    mutating func take(for source: EnvelopeSource) -> Bool {
        switch source {
        case .server: servers.take(for: source, divisor: QueueShares.serverDivisor)
        case .guest: guests.take(for: source, divisor: QueueShares.guestDivisor)
        }
    }

    mutating func release(of source: EnvelopeSource) {
        switch source {
        case .server: servers.release(of: source)
        case .guest: guests.release(of: source)
        }
    }
}
