import NIOCore
import Primitives

/// Keeps the other end of a link to its pace (``FramePace``) by leaving the link unread.
struct ReadBrake {
    private let paceOf: StreamLink.Pace
    private var peer: X25519PublicKey?
    private var link: UInt64 = 0
    private var pace: FramePace?
    /// Whether the link is not to be read.
    private(set) var isOn = false

    init(_ paceOf: @escaping StreamLink.Pace) { self.paceOf = paceOf }

    var isPaced: Bool { pace != nil }

    /// The other end has shown its key, or that it has none.
    mutating func met(_ peer: X25519PublicKey?, link: UInt64) {
        self.peer = peer
        self.link = link
        pace = paceOf(peer, link)
    }

    /// A frame came.
    /// - Returns: until when to leave the link unread, if it is ahead of its pace.
    mutating func took(_ kind: UInt8, _ now: NIODeadline = .now()) -> NIODeadline? {
        guard pace != nil, kind != FrameKind.map.rawValue else { return nil }
        pace?.take(now)
        guard let ahead = pace, ahead.next > now else { return nil }
        // A server that came onto the map meanwhile has no pace any more.
        guard paceOf(peer, link) != nil else {
            pace = nil
            return nil
        }
        isOn = true
        return ahead.resume
    }

    mutating func release() { isOn = false }
}
