import Directory
import Federation
import Primitives
import Records
import Wire

/// Directory messages and the gossip of the map.
extension World {
    /// The kind of a frame that holds a descriptor (specs/map.md, "Gossip").
    private static let descriptorKind: UInt8 = 3
    /// Between the first news of the map and the directory's being told.
    private static let mapPause: UInt64 = 1000

    func perform(_ effects: [MapEffect], _ server: WorldServer) {
        for effect in effects {
            switch effect {
            case .send(let link, let body): transmit(body, over: link, from: server)
            case .learned, .learnedCluster, .lost, .viewChanged: changeMap(server)
            case .evidence(let evidence): checkAccused(evidence)
            // Servers do not ask in envelopes.
            case .inquire, .compared: break
            case .measure(let epoch, let targets, let until): measure(server, targets, epoch: epoch, until: until)
            case .copied: break
            case .snapshotVerdict(_, .agreed): figures.mapsAgreed += 1
            case .snapshotVerdict(_, .undecided): break
            case .snapshotVerdict: figures.mapsContested += 1
            }
        }
        arm(server)
    }

    private func transmit(_ body: [UInt8], over link: UInt64, from server: WorldServer) {
        guard server.isUp else { return }
        if let agent = agent(at: link) { return transmit(body, to: agent, from: server) }
        guard let number = Int(exactly: link), links.indices.contains(number),
            let said = server.liar.says(body, &entropy)
        else { return }
        let other = other(number, than: server.index)
        guard isWhole(server, to: other.index) else { return }
        record(.mapFrame, from: server.index, to: other.index, said)
        guard let delay = network.streamDelay(server.index, other.index, &entropy) else { return }
        schedule(delay, .frame(link: number, to: other.index, generation: other.generation, said))
        guard server.liar.conduct == .forging, let forged = server.badDescriptor(now, &entropy) else { return }
        let frame = [World.descriptorKind] + forged
        record(.mapFrame, from: server.index, to: other.index, frame)
        schedule(delay, .frame(link: number, to: other.index, generation: other.generation, frame))
    }

    func changeMap(_ server: WorldServer) {
        guard server.isUp, !server.mapChanged else { return }
        server.mapChanged = true
        schedule(World.mapPause, .mapChanged(server.index, generation: server.generation))
    }

    /// Tells a directory who is on the map.
    func tellMap(_ server: WorldServer) {
        server.mapChanged = false
        server.paths = nil
        let listed = server.map.currentServers(at: server.clock(now))
        handle(server, .map(listed.map { World.node($0, server.map) }))
        guard server.directory.contactCount < 20, server.isUp else { return }
        let others = listed.filter { $0.nodeID != server.nodeID }.prefix(16)
        handle(server, .join(others.map { Endpoint(linkKey: $0.linkKey, address: $0.udp) }))
    }

    private static func node(_ server: ServerDescriptor, _ map: MapCore) -> Placement.Node {
        Placement.Node(
            id: server.nodeID, cluster: server.clusterID, prefix: server.udp.prefix,
            endpoint: Endpoint(linkKey: server.linkKey, address: server.udp),
            countsFrom: map.countsFrom(server.nodeID))
    }

    func perform(_ effects: [DirectoryEffect], _ server: WorldServer) {
        for effect in effects {
            guard server.isUp else { return }
            switch effect {
            case .call(let call, let endpoint, let message):
                server.calls.insert(call)
                figures.directoryCalls += 1
                schedule(World.callTimeout, .answer(server.index, generation: server.generation, call: call, nil))
                guard let target = byAddress[endpoint.address], let said = server.liar.says(message, &entropy)
                else { continue }
                record(.call, from: server.index, to: target, said)
                for delay in network.delays(server.index, target, &entropy) {
                    schedule(delay, .call(from: server.index, call, to: target, said))
                }
                sendFutureRecord(from: server, to: target, call)
            case .answer(let token, let message): answer(server, token, message)
            case .joined: record(.report, from: server.index, [], "joined")
            case .alarm:
                figures.alarms += 1
                record(.report, from: server.index, [], "alarm")
            case .send(let link, let body): transmit(body, over: link, from: server)
            case .sharedValue(let epoch, let value): handle(server, MapEvent.sharedRandom(epoch: epoch, value))
            case .sharedRandom(.agreed): figures.valuesAgreed += 1
            case .sharedRandom: figures.valuesFailed += 1
            // No operator asks here.
            case .lookedUp: break
            }
        }
        arm(server)
    }

    /// A liar's own request, under the number of one of its core's: what its core takes for the answer is its affair.
    private func sendFutureRecord(from server: WorldServer, to target: Int, _ call: UInt64) {
        guard server.liar.conduct == .future, let bytes = server.futureRecord(now, &entropy) else { return }
        let message = DirectoryMessage.put(record: bytes).encode()
        record(.call, from: server.index, to: target, message)
        guard let delay = network.delays(server.index, target, &entropy).first else { return }
        schedule(delay, .call(from: server.index, call, to: target, message))
    }

    private func answer(_ server: WorldServer, _ token: UInt64, _ message: [UInt8]) {
        guard let asker = server.askers.removeValue(forKey: token) else { return }
        let contact = Contact(serverID: server.serverKey.publicKey, endpoint: server.endpoint)
        guard
            let said = server.liar.answers(
                asker.request, message, contact: contact, descriptor: server.directory.descriptor, &entropy)
        else { return }
        if server.liar.conduct == .honest { observe(server, asker.request, said) }
        switch asker.way {
        case .envelope(let block):
            record(.answer, from: server.index, said)
            reply(block, said, server)
        case .server(let from, let call):
            record(.answer, from: server.index, to: from, said)
            for delay in network.delays(server.index, from, &entropy) {
                sessions.answered(side(servers[from]), by: side(server), now)
                schedule(delay, .answer(from, generation: servers[from].generation, call: call, said))
            }
        }
    }

    private func side(_ server: WorldServer) -> SessionTable.Side {
        (server.index, UInt32(truncatingIfNeeded: server.generation))
    }

    /// A request comes to a server.
    func called(_ from: Int, _ call: UInt64, _ to: Int, _ message: [UInt8]) {
        let server = servers[to]
        guard server.isUp else { return record(.lost, from: to, [], "server is down") }
        server.liar.hears(message)
        let token = server.token(for: .init(way: .server(from, call: call), request: message))
        let isProven = sessions.call(side(servers[from]), to: side(server), now)
        handle(
            server, .request(from: servers[from].endpoint, isProven: isProven, token: token, message: message))
    }

    // MARK: What invariants need

    /// The shared random value of an epoch as most of the servers know it; `nil` for the stand-in.
    func sharedValue(_ epoch: UInt64) -> Bytes32? {
        var counts: [Bytes32: Int] = [:]
        for server in servers {
            if let value = server.directory.random.values[epoch]?.bytes { counts[value, default: 0] += 1 }
        }
        return counts.first { 2 * $0.value > servers.count }?.key
    }

    /// Servers on the maps of others that belong to operators whom nobody endorses.
    func strangersOnMaps() -> Int {
        let strangers = Set(servers.filter { $0.liar.conduct == .stranger }.map(\.nodeID))
        return servers.filter { $0.isUp && $0.liar.conduct != .stranger }.reduce(0) { sum, server in
            sum + server.map.currentServers(at: server.clock(now)).count { strangers.contains($0.nodeID) }
        }
    }

    /// Who ought to hold a record, by the map of all and the value that most servers know.
    func holders(_ key: VerifyingKey, _ epoch: UInt64) -> [Int] {
        let placement: Placement
        let value = sharedValue(epoch)
        if let known = placements[epoch], known.value == value {
            placement = known.placement
        } else {
            placement = Placement(
                nodes: servers.filter { $0.liar.conduct != .stranger }.map {
                    Placement.Node(
                        id: $0.nodeID, cluster: $0.clusterKey.publicKey, prefix: $0.endpoint.address.prefix)
                }, epoch: epoch, shared: value)
            placements[epoch] = (value, placement)
        }
        return placement.rings(of: key).joined().compactMap { byNode[$0] }
    }
}
