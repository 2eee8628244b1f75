import Federation
import Link
import Logging
import NIOCore
import NIOPosix
import Primitives
import Records
import Relay
import Transport
import Wire

/// The outgoing stream links to other servers: opened on demand, reopened with back-off, bounded in what waits.
///
/// Whoever writes a path chooses for which server an envelope waits here, so all queues have one common bound, in which
/// each server has a share, and an envelope waits for a bounded time: the agent that sent it has sent another by then.
/// A server to which there is no link, and for which nothing waits, leaves no trace. Confined to the relay's event loop.
struct PeerLinks {
    private enum State {
        case connecting
        case connected(StreamLink)
        case waiting(until: Timestamp)
    }

    private struct Waiting {
        let envelope: [UInt8]
        let since: Timestamp
    }

    private struct Peer {
        var state = State.connecting
        var queue: [Waiting] = []
        var failures: UInt64 = 0
    }

    /// What the owner must do.
    enum Directive {
        case connect(NodeID)
        case send(StreamLink, envelope: [UInt8])
    }

    /// Envelopes that wait for links in all, 43 MB, and the part of the free places that one server may have.
    static let capacity = 16_384
    static let divisor = 32
    /// Envelopes that wait for a server to which a link could not be made.
    static let failedLimit = 32
    /// Milliseconds for which an envelope waits at most.
    static let age: UInt64 = 30_000
    /// Links at a time, with those that are being opened.
    static let linkLimit = 4096

    private var peers: [NodeID: Peer] = [:]
    private var shares = BufferShares<NodeID>(capacity: capacity)
    private(set) var dropped: UInt64 = 0

    var connected: [NodeID] {
        peers.filter { if case .connected = $0.value.state { true } else { false } }.map(\.key)
    }

    /// Servers to which there is a link, or is to be one.
    var count: Int { peers.count }

    /// Envelopes that wait for a link.
    var waiting: Int { shares.used }

    /// Sends now, or queues and asks for a connection, or drops when there is no place in the queue.
    mutating func send(_ envelope: [UInt8], to node: NodeID, now: Timestamp) -> Directive? {
        guard let peer = peers[node] else {
            guard peers.count < PeerLinks.linkLimit else {
                dropped += 1
                return nil
            }
            peers[node] = Peer()
            enqueue(envelope, node, now)
            return .connect(node)
        }
        // A congested link pushes back: envelopes wait here in order.
        if case .connected(let link) = peer.state, link.isWritable, peer.queue.isEmpty {
            return .send(link, envelope: envelope)
        }
        enqueue(envelope, node, now)
        return nil
    }

    /// Asks for a connection when there is none and none is being made.
    mutating func open(_ node: NodeID, now: Timestamp) -> Directive? {
        switch peers[node]?.state {
        case .connected, .connecting: return nil
        case .waiting(let until) where now < until: return nil
        case nil where peers.count >= PeerLinks.linkLimit: return nil
        case nil, .waiting: break
        }
        peers[node, default: Peer()].state = .connecting
        return .connect(node)
    }

    mutating func established(_ node: NodeID, _ link: StreamLink) -> [Directive] {
        peers[node, default: Peer()].state = .connected(link)
        peers[node]?.failures = 0
        return drain(node)
    }

    /// A congested link takes envelopes again.
    mutating func drain(_ node: NodeID) -> [Directive] {
        guard case .connected(let link)? = peers[node]?.state else { return [] }
        return takeQueue(node).map { .send(link, envelope: $0.envelope) }
    }

    /// A connection ended or could not be made: the next try waits 0.25 s, doubled each time up to 16 s.
    /// - Returns: the milliseconds after which to ``retry(_:isWanted:)``; `nil` for a node that was forgotten.
    mutating func closed(_ node: NodeID, now: Timestamp) -> UInt64? {
        guard let peer = peers[node] else { return nil }
        let failures = min(peer.failures + 1, 7)
        let wait: UInt64 = 125 << failures
        peers[node]?.failures = failures
        peers[node]?.state = .waiting(until: now.adding(milliseconds: wait))
        dropFirst(peer.queue.count - PeerLinks.failedLimit, of: node)
        return wait
    }

    /// The wait is over: asks for a connection if the link is wanted or envelopes wait for it, else forgets the node.
    mutating func retry(_ node: NodeID, isWanted: Bool) -> Directive? {
        guard let peer = peers[node], case .waiting = peer.state else { return nil }
        guard isWanted || !peer.queue.isEmpty else {
            peers[node] = nil
            return nil
        }
        peers[node]?.state = .connecting
        return .connect(node)
    }

    /// Nobody knows where the node is: what waits for it is dropped.
    mutating func unreachable(_ node: NodeID) {
        guard let peer = peers[node], case .connecting = peer.state else { return }
        _ = remove(node)
    }

    /// Forgets a node; the link to it, if there is one, is for the caller to close.
    mutating func remove(_ node: NodeID) -> StreamLink? {
        dropped += UInt64(takeQueue(node).count)
        guard let peer = peers.removeValue(forKey: node), case .connected(let link) = peer.state else { return nil }
        return link
    }

    /// Drops what has waited for longer than ``age``, or since a time that a clock which went back has not reached.
    mutating func expire(now: Timestamp) {
        for node in Array(shares.holders) {
            guard let queue = peers[node]?.queue else { continue }
            let old = queue.prefix {
                max(now.milliseconds(since: $0.since), $0.since.milliseconds(since: now)) > PeerLinks.age
            }.count
            dropFirst(old, of: node)
        }
    }

    private mutating func dropFirst(_ count: Int, of node: NodeID) {
        guard count > 0 else { return }
        peers[node]?.queue.removeFirst(count)
        shares.release(count, of: node)
        dropped += UInt64(count)
    }

    private mutating func enqueue(_ envelope: [UInt8], _ node: NodeID, _ now: Timestamp) {
        let isFailing = (peers[node]?.failures ?? 0) > 0
        guard !isFailing || shares.count(of: node) < PeerLinks.failedLimit,
            shares.take(for: node, divisor: PeerLinks.divisor)
        else {
            dropped += 1
            return
        }
        peers[node]?.queue.append(Waiting(envelope: envelope, since: now))
    }

    private mutating func takeQueue(_ node: NodeID) -> [Waiting] {
        guard let queue = peers[node]?.queue, !queue.isEmpty else { return [] }
        peers[node]?.queue = []
        shares.release(queue.count, of: node)
        return queue
    }
}
