import Correspondence
import Federation
import Link
import Primitives
import Records
import Storage
import Transport
import Wire

/// Links to gateways, and to bootstrap peers for the map.
extension AgentOwner {
    /// Tries with one gateway before another is chosen.
    private static let gatewayAttempts = 4
    /// Bootstrap peers that are asked for the map at a time.
    private static let bootstrapPeers = 2

    func askBootstrap() {
        var peers = bootstrap.links
        entropy.shuffle(&peers)
        for peer in peers.prefix(AgentOwner.bootstrapPeers) {
            let place = StreamLink.Place.name(peer.host, port: peer.port)
            StreamLink.connect(to: place, peer: peer.linkKey, identity: nil, local: local, group: loop) {
                [weak self] event in self?.bootstrapEvent(event)
            }
        }
        // Whoever did not answer is not asked for ever: others are tried while the map stays empty.
        loop.scheduleTask(in: .seconds(3)) {
            if !self.isStopped, self.map.currentTotal(at: .now()) == 0 { self.askBootstrap() }
        }
    }

    private func bootstrapEvent(_ event: StreamEvent) {
        switch event {
        case .established(let link, let peer):
            links[link.id] = link
            handle(.linkUp(link: link.id, peer: peer.map { BLAKE2b.h(Domain("hulda/node-link"), $0.bytes) }))
        case .frame(let link, let kind, let body):
            switch FrameKind(kind, body: body) {
            case .map: handle(.message(link: link.id, body))
            case .idle: break
            case .envelope, .claim, .claimed, .reply, nil: refuse(link)
            }
        case .closed(let link, let reason):
            note(reason)
            forget(link)
        case .writable: break
        }
    }

    private func forget(_ link: StreamLink?) {
        guard let link, links.removeValue(forKey: link.id) != nil else { return }
        handle(.linkDown(link: link.id))
    }

    func connectGateways() {
        guard isStarted, usesGateways, !isStopped else { return }
        let wanted = core.wantedGateways
        for (node, link) in gateways where !wanted.contains(node) { link.close() }
        for node in wanted where gateways[node] == nil && !connecting.contains(node) { connect(node) }
    }

    private func connect(_ node: NodeID) {
        guard let server = map.server(node), let address = try? server.tcp.nio() else { return }
        connecting.insert(node)
        StreamLink.connect(to: .address(address), peer: server.linkKey, identity: nil, local: local, group: loop) {
            [weak self] event in self?.gatewayEvent(node, event)
        }
    }

    private func gatewayEvent(_ node: NodeID, _ event: StreamEvent) {
        switch event {
        case .established(let link, _):
            connecting.remove(node)
            attempts[node] = nil
            links[link.id] = link
            gateways[node] = link
            handle(.linkUp(link: link.id, peer: node))
            handle(.linkUp(gateway: node))
        case .frame(let link, let kind, let body):
            receive(kind, body, link)
        case .closed(let link, let reason):
            note(reason)
            forget(link)
            if gateways[node]?.id == link?.id, link != nil {
                gateways[node] = nil
                handle(.linkDown(gateway: node))
            }
            retry(node)
        case .writable: break
        }
    }

    private func receive(_ kind: UInt8, _ body: [UInt8], _ link: StreamLink) {
        switch FrameKind(kind, body: body) {
        case .map: handle(.message(link: link.id, body))
        case .reply:
            guard let id = Bytes16(body.prefix(16)) else { return }
            handle(.reply(id: id, payload: Array(body.dropFirst(16))))
        case .claimed, .idle: break
        case .envelope, .claim, nil: refuse(link)
        }
    }

    private func refuse(_ link: StreamLink) {
        noteUnexpectedFrame()
        link.close()
    }

    /// Waits longer each time; after some tries the core chooses another gateway.
    private func retry(_ node: NodeID) {
        guard !isStopped, core.wantedGateways.contains(node) else {
            connecting.remove(node)
            return
        }
        let count = (attempts[node] ?? 0) + 1
        attempts[node] = count
        if count >= AgentOwner.gatewayAttempts {
            attempts[node] = nil
            connecting.remove(node)
            do throws(StorageError) {
                let effects = try core.gatewayFailed(node, now: .now(), entropy: &entropy, store: &store)
                try store.commit(&entropy)
                perform(effects)
            } catch {
                return fail(error)
            }
            connectGateways()
            scheduleWake()
            return
        }
        connecting.insert(node)
        loop.scheduleTask(in: .milliseconds(Int64(250 << count))) {
            self.connecting.remove(node)
            self.connectGateways()
        }
    }
}
