import Envelope
import Link
import NIOCore
import Primitives
import Records
import Transport
import Wire

/// Stream links: what comes over them, and to whom they lead.
extension NodeRuntime {
    /// Events of links that others opened.
    func accepted(_ event: StreamEvent) {
        switch event {
        case .established(let link, let peer):
            // A server whose key is not on the map yet may still tell who it is; an agent may not.
            let node = peer.map { ledger.node(linkKey: $0) ?? NodeRuntime.provisionalID($0) }
            cores.enqueue { $0.linkUp(link, peer: node, key: peer) }
            if peer == nil { relay.enqueue { $0.agentOpened(link) } }
        case .frame(let link, let kind, let body):
            receive(kind, body, link)
        case .writable(let link):
            relay.enqueue { $0.agentWritable(link.id) }
        case .closed(let link, let reason):
            if let reason { ledger.count("link.failed.\(reason.label)") }
            guard let link else { return }
            cores.enqueue { $0.linkDown(link.id, reason?.label) }
            relay.enqueue { $0.guestClosed(link.id) }
        }
    }

    /// The pace at which a link that another opened is read: that of an agent, but for a server on the map, which sends for
    /// many agents. A stranger's key makes nobody a server; one that comes onto the map is recognised when it needs it.
    func pace(of peer: X25519PublicKey?, _ link: UInt64) -> FramePace? {
        guard let node = peer.flatMap({ ledger.node(linkKey: $0) }) else { return NodeRuntime.guestPace }
        relay.enqueue { $0.serverOpened(node, link) }
        return nil
    }

    /// Whether an envelope can go on to a node. Whoever wrote its path chose that, so one that is on no map is refused
    /// and counted; as is this server itself, to which no path leads twice in a row.
    func canForward(to node: NodeID) -> Bool {
        if node != keys.nodeID, ledger.knows(node) { return true }
        ledger.count("relay.next_hop_unknown")
        return false
    }

    /// Opens the link to a node that the relay wants.
    func connect(to node: NodeID) {
        guard let endpoint = endpoint(of: node) else { return relay.enqueue { $0.peerUnreachable(node) } }
        StreamLink.connect(to: endpoint.place, peer: endpoint.key, identity: keys.link, group: group) {
            [weak self] event in
            self?.opened(node, endpoint.key, event)
        }
    }

    /// Where a link to a server was to lead, for people.
    private func place(of node: NodeID) -> String {
        switch endpoint(of: node)?.place {
        case .address(let address): Wire.SocketAddress(address).map { "\($0)" } ?? "\(address)"
        case .name(let host, let port): "\(host):\(port)"
        case nil: "unknown"
        }
    }

    /// Events of links that this node opened.
    private func opened(_ node: NodeID, _ key: X25519PublicKey, _ event: StreamEvent) {
        switch event {
        case .established(let link, _):
            relay.enqueue { $0.established(node, link) }
            cores.enqueue { $0.linkUp(link, peer: node, key: key) }
        case .frame(let link, let kind, let body):
            receive(kind, body, link)
        case .writable:
            relay.enqueue { $0.drain(node) }
        case .closed(let link, let reason):
            if let reason { ledger.count("link.failed.\(reason.label)") }
            relay.enqueue { $0.peerClosed(node, link?.id) }
            if let link {
                cores.enqueue { $0.linkDown(link.id, reason?.label) }
            } else {
                let place = place(of: node)
                cores.enqueue { $0.linkFailed(key, at: place, reason?.label) }
            }
        }
    }

    /// A frame, on the link's own event loop: envelopes are opened here, in parallel.
    private func receive(_ kind: UInt8, _ body: [UInt8], _ link: StreamLink) {
        switch FrameKind(kind, body: body) {
        case .envelope:
            unwrap(body, link)
        case .map:
            toCores { $0.frame(body, on: link.id) }
        case .claim:
            guard let secret = Bytes32(body) else { return refuse(link) }
            // An agent whose claim is lost would wait for replies in vain; without a link it claims again.
            if !toRelay({ $0.claim(secret, link) }) { link.close() }
        case .idle:
            break
        case .claimed, .reply, nil:
            refuse(link)
        }
    }

    private func refuse(_ link: StreamLink) {
        ledger.count("frame.unexpected")
        link.close()
    }

    private func unwrap(_ body: [UInt8], _ link: StreamLink) {
        var envelope = body
        let ring = ledger.ring
        let now = Timestamp.now()
        var result: Result<(unwrapped: Unwrapped, epoch: UInt64), EnvelopeError> = .failure(.wrongMAC)
        envelope.withUnsafeMutableBytes { raw in
            do throws(EnvelopeError) { result = .success(try ring.unwrap(raw, now: now)) } catch {
                result = .failure(error)
            }
        }
        switch result {
        case .success(let opened):
            let routing = opened.unwrapped.routing
            // Before a place, a tag or a link is spent on it.
            guard routing.command != .relay || canForward(to: routing.target) else { return }
            let processed = envelope
            toRelay { $0.accept(processed, opened.unwrapped, epoch: opened.epoch, from: link.id) }
        case .failure(let error):
            ledger.count("envelope.refused.\(error.label)")
        }
    }
}

extension EnvelopeError {
    /// A name for counters.
    var label: String {
        switch self {
        case .wrongSize: "size"
        case .invalidEphemeral: "ephemeral"
        case .wrongMAC: "mac"
        case .malformedRouting: "routing"
        case .tamperedPayload: "payload"
        case .pathLength: "path"
        case .invalidRelayKey: "key"
        case .contentTooLong: "length"
        }
    }
}
