import Correspondence
import Federation
import Link
import NIOCore
import Primitives
import Records
import Storage
import Transport
import Wire

/// Links to gateways, and to bootstrap peers for the map.
extension AgentOwner {
    /// Tries with one gateway before another is chosen.
    private static let gatewayAttempts = 4
    /// Links with gateways fail soon when nothing arrives any more: the agent sends ten envelopes a second, so that it
    /// shows (specs/agent.md, "Links").
    private static var patience: StreamLink.Patience {
        var patience = StreamLink.Patience()
        patience.acknowledgement = .seconds(3)
        return patience
    }
    /// Gateways of a map that may be outdated get this long before bootstrap peers are asked.
    private static let alonePatience = TimeAmount.seconds(10)
    /// Replies to a mailbox of the day before may come over the old link for this long.
    private static let lateReplies = TimeAmount.seconds(120)

    /// Asks bootstrap peers while the map has no path, or no gateway of it answers.
    func askBootstrap() {
        guard isStarted, !isStopped, gateways.isEmpty else { return }
        let now = NIODeadline.now()
        guard !hasPaths || (usesGateways && now - aloneSince > AgentOwner.alonePatience) else { return }
        for peer in rounds.begin(bootstrap.links, at: now, entropy: &entropy) {
            let place = StreamLink.Place.name(peer.host, port: peer.port)
            StreamLink.connect(
                to: place, peer: peer.linkKey, identity: nil, local: local, group: loop, patience: AgentOwner.patience
            ) { [weak self] event in self?.bootstrapEvent(event) }
        }
    }

    private func bootstrapEvent(_ event: StreamEvent) {
        switch event {
        case .established(let link, let peer):
            guard !isStopped else { return link.close() }
            links[link.id] = link
            rounds.established(link.id, at: .now())
            loop.scheduleTask(in: BootstrapRounds.patience) { link.close() }
            handle(.linkUp(link: link.id, peer: peer.map { BLAKE2b.h(Domain("hulda/node-link"), $0.bytes) }))
        case .frame(let link, let kind, let body):
            switch FrameKind(kind, body: body) {
            case .map: handle(.message(link: link.id, body))
            case .idle: break
            case .envelope, .claim, .claimed, .reply, nil: refuse(link)
            }
        case .closed(let link, let reason):
            note(reason)
            rounds.closed(link?.id)
            forget(link)
        case .writable: break
        }
    }

    /// Closes links whose own address this machine has lost: nobody can answer there.
    func dropStrandedLinks() {
        for link in links.values {
            guard let own = link.channel.localAddress, !LocalAddress.exists(own) else { continue }
            link.close()
        }
    }

    /// Makes a second link with a gateway, for the mailbox of another day.
    func renewLink(_ node: NodeID) {
        guard gateways[node] != nil, !connecting.contains(node) else { return }
        connect(node)
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
        StreamLink.connect(
            to: .address(address), peer: server.linkKey, identity: nil, local: local, group: loop,
            patience: AgentOwner.patience
        ) { [weak self] event in self?.gatewayEvent(node, event) }
    }

    private func gatewayEvent(_ node: NodeID, _ event: StreamEvent) {
        switch event {
        case .established(let link, _):
            connecting.remove(node)
            attempts[node] = nil
            guard !isStopped else { return link.close() }
            links[link.id] = link
            let old = gateways.updateValue(link, forKey: node)
            handle(.linkUp(link: link.id, peer: node))
            handle(.linkUp(gateway: node))
            if let old { loop.scheduleTask(in: AgentOwner.lateReplies) { old.close() } }
        case .frame(let link, let kind, let body):
            receive(kind, body, link)
        case .closed(let link, let reason):
            note(reason)
            // Of the old one of two links nothing depends.
            let isOld = link.map { links[$0.id] != nil && gateways[node]?.id != $0.id } ?? false
            forget(link)
            guard !isOld else { return }
            if let link, gateways[node]?.id == link.id {
                gateways[node] = nil
                if gateways.isEmpty { aloneSince = .now() }
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
        // A second link that did not come about is asked for again while the first one stands.
        guard !isStopped, core.wantedGateways.contains(node), gateways[node] == nil else {
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
