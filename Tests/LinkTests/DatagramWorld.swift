import Primitives
import Testing
import Wire

@testable import Link

/// One endpoint with its owner, which answers every request with its bytes reversed.
final class DatagramNode {
    let address: SocketAddress
    let publicKey: X25519PublicKey
    private let keyNumber: UInt64
    var endpoint: DatagramEndpoint
    var entropy: Entropy
    var answersAtOnce = true
    var waiting: [UInt64] = []
    /// How often each request body was handed to the owner since the last restart.
    var processed: [[UInt8]: Int] = [:]
    var requesters: [X25519PublicKey] = []
    /// Requests from an address at which the peer has received something.
    var provenRequests = 0
    var answers: [UInt64: [UInt8]] = [:]
    var failed: Set<UInt64> = []
    /// Ends of one call beyond the first.
    var doubleEnds = 0

    init(_ number: UInt64, bounds: DatagramBounds = DatagramBounds()) {
        keyNumber = number
        address = SocketAddress(v4: (127, 0, 0, UInt8(truncatingIfNeeded: number)), port: 4000)
        entropy = Entropy(seed: 77 + number)
        let key = privateKey(number)
        publicKey = key.publicKey
        endpoint = DatagramEndpoint(key: key, bounds: bounds, entropy: &entropy)
    }

    /// Forgets all but its key.
    func restart() {
        endpoint = DatagramEndpoint(key: privateKey(keyNumber), entropy: &entropy)
        processed = [:]
    }

    func call(_ name: UInt64, _ peer: DatagramNode, _ body: [UInt8], now: Timestamp) -> [Datagram] {
        handle(
            endpoint.call(
                name, to: peer.address, peer: peer.publicKey, request: body, now: now, entropy: &entropy), now)
    }

    func receive(_ datagram: Datagram, now: Timestamp) -> [Datagram] {
        handle(endpoint.receive(datagram.bytes, from: datagram.source, now: now, entropy: &entropy), now)
    }

    func wake(_ now: Timestamp) -> [Datagram] { handle(endpoint.wake(now: now, entropy: &entropy), now) }

    func answerWaiting(now: Timestamp, _ body: [UInt8]) -> [Datagram] {
        guard let token = waiting.popLast() else { return [] }
        return handle(endpoint.answer(token, body, now: now, entropy: &entropy), now)
    }

    private func handle(_ effects: [DatagramEndpoint.Effect], _ now: Timestamp) -> [Datagram] {
        var out: [Datagram] = []
        for effect in effects {
            switch effect {
            case .send(let bytes, let to):
                #expect(bytes.count <= Limits.datagramSize)
                out.append(Datagram(source: address, destination: to, bytes: bytes))
            case .requested(let token, let peer, _, let isProven, let body):
                processed[body, default: 0] += 1
                requesters.append(peer)
                if isProven { provenRequests += 1 }
                if answersAtOnce {
                    out += handle(endpoint.answer(token, body.reversed(), now: now, entropy: &entropy), now)
                } else {
                    waiting.append(token)
                }
            case .answered(let call, let body):
                if answers[call] != nil || failed.contains(call) { doubleEnds += 1 }
                answers[call] = body
            case .failed(let call):
                if answers[call] != nil || failed.contains(call) { doubleEnds += 1 }
                failed.insert(call)
            }
        }
        return out
    }
}

struct Datagram {
    var source: SocketAddress
    var destination: SocketAddress
    var bytes: [UInt8]
    var type: UInt8 { bytes.first ?? 0 }
}

/// A network of endpoints in virtual time that loses, doubles and delays from a seed.
struct DatagramWorld: ~Copyable {
    let nodes: [DatagramNode]
    var now = Timestamp(seconds: 1_700_000_000)
    var entropy: Entropy
    var lossPercent = 0
    var doublePercent = 0
    var latency: ClosedRange<UInt64> = 10...10
    /// All that was sent, lost or not.
    var sent: [Datagram] = []
    private var flying: [(due: Timestamp, order: UInt64, datagram: Datagram)] = []
    private var order: UInt64 = 0

    init(_ count: UInt64, bounds: DatagramBounds = DatagramBounds(), seed: UInt64 = 1) {
        nodes = (1...count).map { DatagramNode($0, bounds: bounds) }
        entropy = Entropy(seed: seed)
    }

    mutating func send(_ datagrams: [Datagram]) {
        for datagram in datagrams {
            sent.append(datagram)
            guard entropy.below(100) >= lossPercent else { continue }
            fly(datagram)
            if entropy.below(100) < doublePercent { fly(datagram) }
        }
    }

    private mutating func fly(_ datagram: Datagram) {
        let spread = Int(latency.upperBound - latency.lowerBound) + 1
        let due = now.adding(milliseconds: latency.lowerBound + UInt64(entropy.below(spread)))
        order += 1
        flying.append((due, order, datagram))
    }

    mutating func call(_ name: UInt64, from: Int, to: Int, _ body: [UInt8]) {
        send(nodes[from].call(name, nodes[to], body, now: now))
    }

    /// Runs whatever is due in the next `milliseconds`, in order.
    mutating func run(milliseconds: UInt64 = 10_000) {
        let end = now.adding(milliseconds: milliseconds)
        while let next = nextMoment(), next <= end {
            if next > now { now = next }
            for node in nodes { if let due = node.endpoint.nextWake, due <= now { send(node.wake(now)) } }
            let next = flying.indices.min { left, right in
                (flying[left].due, flying[left].order) < (flying[right].due, flying[right].order)
            }
            guard let next, flying[next].due <= now else { continue }
            let datagram = flying.remove(at: next).datagram
            if let node = nodes.first(where: { $0.address == datagram.destination }) {
                send(node.receive(datagram, now: now))
            }
        }
        now = end
    }

    private func nextMoment() -> Timestamp? {
        let wakes = nodes.compactMap { $0.endpoint.nextWake }
        return (wakes + flying.map { $0.due }).min()
    }
}
