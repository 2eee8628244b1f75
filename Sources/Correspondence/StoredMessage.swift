import Primitives
import Records
import Wire

/// A message in the inbox.
public struct StoredMessage: Sendable, Equatable {
    /// Its place in the inbox.
    public var number: UInt64
    public var messageID: Bytes16
    public var sender: NetworkID
    /// The sender's clock.
    public var sent: Timestamp
    public var received: Timestamp
    public var body: [UInt8]

    /// Milliseconds by which a sender's clock may be ahead of what is shown.
    static let clockAllowance: UInt64 = 120_000

    /// The time to show: the sender's, but no later than two minutes after the message came.
    public var shown: Timestamp { min(sent, received.adding(milliseconds: StoredMessage.clockAllowance)) }

    /// The order in which messages are shown: in which they came, so that no sender's clock moves anybody else's messages.
    /// Those of one sender, which may overtake each other on their way, stand in the order in which he wrote them, in the
    /// places in which his came.
    public static func inOrder(_ messages: [StoredMessage]) -> [StoredMessage] {
        var ordered = messages.sorted { $0.number < $1.number }
        var places: [NetworkID: [Int]] = [:]
        for (place, message) in ordered.enumerated() { places[message.sender, default: []].append(place) }
        for own in places.values where own.count > 1 {
            let written = own.map { ordered[$0] }.sorted { ($0.shown, $0.number) < ($1.shown, $1.number) }
            for (place, message) in zip(own, written) { ordered[place] = message }
        }
        return ordered
    }
}
