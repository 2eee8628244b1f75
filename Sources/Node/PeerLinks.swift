import Federation
import Link
import Logging
import NIOCore
import NIOPosix
import Primitives
import Records
import Transport
import Wire

/// The outgoing stream links to other servers: opened on demand, reopened with back-off, bounded in what waits.
///
/// Confined to the relay's event loop.
struct PeerLinks {
    private enum State {
        case idle
        case connecting
        case connected(StreamLink)
        case waiting(until: Timestamp)
    }

    private struct Peer {
        var state = State.idle
        var queue: [[UInt8]] = []
        var failures: UInt64 = 0
    }

    /// What the owner must do.
    enum Directive {
        case connect(NodeID)
        case send(StreamLink, envelope: [UInt8])
    }

    /// Envelopes that wait for one link while it is being opened or congested.
    static let queueLimit = 1024

    private var peers: [NodeID: Peer] = [:]
    private(set) var dropped: UInt64 = 0

    var connected: [NodeID] {
        peers.filter { if case .connected = $0.value.state { true } else { false } }.map(\.key)
    }

    /// Sends now, or queues and asks for a connection, or drops when the link is congested.
    mutating func send(_ envelope: [UInt8], to node: NodeID, now: Timestamp) -> Directive? {
        var peer = peers[node] ?? Peer()
        defer { peers[node] = peer }
        switch peer.state {
        case .connected(let link):
            // A congested link pushes back: envelopes wait here in order, and beyond the limit they are dropped.
            guard link.isWritable, peer.queue.isEmpty else {
                enqueue(envelope, &peer)
                return nil
            }
            return .send(link, envelope: envelope)
        case .idle:
            peer.queue.append(envelope)
            peer.state = .connecting
            return .connect(node)
        case .connecting:
            enqueue(envelope, &peer)
            return nil
        case .waiting(let until):
            enqueue(envelope, &peer)
            guard now >= until else { return nil }
            peer.state = .connecting
            return .connect(node)
        }
    }

    /// Asks for a connection when there is none and none is being made.
    mutating func open(_ node: NodeID, now: Timestamp) -> Directive? {
        var peer = peers[node] ?? Peer()
        switch peer.state {
        case .connected, .connecting: return nil
        case .waiting(let until) where now < until: return nil
        case .idle, .waiting: break
        }
        peer.state = .connecting
        peers[node] = peer
        return .connect(node)
    }

    mutating func established(_ node: NodeID, _ link: StreamLink) -> [Directive] {
        var peer = peers[node] ?? Peer()
        let waiting = peer.queue
        peer.queue = []
        peer.failures = 0
        peer.state = .connected(link)
        peers[node] = peer
        return waiting.map { .send(link, envelope: $0) }
    }

    /// A congested link takes envelopes again.
    mutating func drain(_ node: NodeID) -> [Directive] {
        guard var peer = peers[node], case .connected(let link) = peer.state else { return [] }
        let waiting = peer.queue
        peer.queue = []
        peers[node] = peer
        return waiting.map { .send(link, envelope: $0) }
    }

    /// A connection ended or could not be made: the next try waits 0.25 s, doubled each time up to 16 s.
    /// - Returns: the milliseconds after which to ``retry(_:isWanted:)``; `nil` for a node that was forgotten.
    mutating func closed(_ node: NodeID, now: Timestamp) -> UInt64? {
        guard var peer = peers[node] else { return nil }
        peer.failures = min(peer.failures + 1, 7)
        let wait: UInt64 = 125 << peer.failures
        peer.state = .waiting(until: now.adding(milliseconds: wait))
        peers[node] = peer
        return wait
    }

    /// The wait is over: asks for a connection if the link is wanted or envelopes wait for it.
    mutating func retry(_ node: NodeID, isWanted: Bool) -> Directive? {
        guard let peer = peers[node], case .waiting = peer.state, isWanted || !peer.queue.isEmpty else { return nil }
        peers[node]?.state = .connecting
        return .connect(node)
    }

    /// Forgets a node; the link to it, if there is one, is for the caller to close.
    mutating func remove(_ node: NodeID) -> StreamLink? {
        guard let peer = peers.removeValue(forKey: node), case .connected(let link) = peer.state else { return nil }
        return link
    }

    private mutating func enqueue(_ envelope: [UInt8], _ peer: inout Peer) {
        guard peer.queue.count < PeerLinks.queueLimit else {
            dropped += 1
            return
        }
        peer.queue.append(envelope)
    }
}
