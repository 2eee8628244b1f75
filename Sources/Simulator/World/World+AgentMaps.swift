import Correspondence
import Directory
import Federation
import Primitives
import Records
import Storage
import Wire

/// The agents' own maps: from the clusters that their users trust, over the links to gateways, compared with what others
/// say over paths of their own, as real agents do.
extension World {
    /// Servers that are asked for a map at a time by an agent that has none, and milliseconds until others are.
    private static let bootstrapPeers = 2
    private static let bootstrapWait: UInt64 = 3000
    /// How long changes of the map are gathered.
    private static let mapDelay: UInt64 = 250
    /// Clusters whose servers an agent knows from the beginning.
    private static let trusted = 3
    /// Numbers of the links to agents, as servers see them, begin here.
    private static let agentLinks = 1 << 32

    /// Whom agents trust: clusters whose servers do not lie.
    var trustedServers: [WorldServer] {
        let honest = servers.filter { $0.liar.conduct == .honest }
        return Array(honest.prefix(World.trusted * scenario.clusterSize))
    }

    private func link(of agent: WorldAgent) -> UInt64 { UInt64(World.agentLinks + agent.index) }

    /// The agent at the other end of a server's link.
    func agent(at link: UInt64) -> WorldAgent? {
        guard let number = Int(exactly: link), number >= World.agentLinks,
            agents.indices.contains(number - World.agentLinks)
        else { return nil }
        return agents[number - World.agentLinks]
    }

    /// Asks servers that the agent knows for the map, until it has one.
    func bootstrap(_ agent: WorldAgent) throws {
        guard let map = agent.map, map.currentTotal(at: agent.clock(now)) == 0 else { return }
        var peers = trustedServers
        entropy.shuffle(&peers)
        for server in peers.prefix(World.bootstrapPeers) { try mapLinkUp(agent, server) }
        schedule(World.bootstrapWait, .agentBootstrap(agent.index, generation: agent.generation))
    }

    func mapLinkUp(_ agent: WorldAgent, _ server: WorldServer) throws {
        let own = place(agent.index)
        guard server.isUp, network.reaches(own, server.index), network.reaches(server.index, own),
            agent.mapLinks.insert(server.index).inserted
        else { return }
        handle(server, MapEvent.linkUp(link: link(of: agent), peer: nil))
        try handle(agent, MapEvent.linkUp(link: UInt64(server.index), peer: server.nodeID))
    }

    func mapLinkDown(_ agent: WorldAgent, _ server: WorldServer) throws {
        guard agent.mapLinks.remove(server.index) != nil else { return }
        if server.isUp { handle(server, MapEvent.linkDown(link: link(of: agent))) }
        try handle(agent, MapEvent.linkDown(link: UInt64(server.index)))
    }

    /// The agent is gone: servers notice.
    func dropMapLinks(_ agent: WorldAgent) {
        for index in agent.mapLinks.sorted() where servers[index].isUp {
            handle(servers[index], MapEvent.linkDown(link: link(of: agent)))
        }
        agent.mapLinks = []
    }

    func handle(_ agent: WorldAgent, _ event: MapEvent) throws {
        guard agent.core != nil else { return }
        let effects: [MapEffect]?
        do throws(StorageError) {
            effects = try agent.map?.handle(
                event, now: agent.clock(now), entropy: &agent.entropy, store: &agent.store)
        } catch {
            figures.storageFailures += 1
            return kill(agent, .process)
        }
        agent.store.commit()
        agent.store.sync()
        for effect in effects ?? [] { try perform(effect, agent) }
        arm(agent)
    }

    private func perform(_ effect: MapEffect, _ agent: WorldAgent) throws {
        switch effect {
        case .send(let link, let body):
            guard let server = Int(exactly: link), agent.mapLinks.contains(server) else { return }
            record(.mapFrame, from: place(agent.index), to: server, body)
            guard let delay = network.streamDelay(place(agent.index), server, &entropy) else { return }
            schedule(
                delay,
                .agentFrame(
                    agent.index, agent: agent.generation, server: server, generation: servers[server].generation,
                    isUp: true, body))
        case .learned, .learnedCluster, .lost, .viewChanged:
            guard !agent.mapChanged else { return }
            agent.mapChanged = true
            schedule(World.mapDelay, .agentMap(agent.index, generation: agent.generation))
        case .inquire(let questions): try handle(agent, .inquire(questions))
        case .evidence(let evidence): checkAccused(evidence)
        case .snapshotVerdict(_, .agreed): figures.agentMapsAgreed += 1
        case .snapshotVerdict(_, .refused): figures.agentMapsRefused += 1
        case .snapshotVerdict, .measure, .compared, .copied: break
        }
    }

    /// A frame of the map to an agent.
    func transmit(_ body: [UInt8], to agent: WorldAgent, from server: WorldServer) {
        guard agent.mapLinks.contains(server.index), let said = server.liar.says(body, &entropy),
            isWhole(server, to: place(agent.index))
        else { return }
        record(.mapFrame, from: server.index, to: place(agent.index), said)
        guard let delay = network.streamDelay(server.index, place(agent.index), &entropy) else { return }
        schedule(
            delay,
            .agentFrame(
                agent.index, agent: agent.generation, server: server.index, generation: server.generation, isUp: false,
                said))
    }

    /// A frame has come to one end of a link between an agent and a server.
    func framed(_ agent: WorldAgent, _ server: WorldServer, isUp: Bool, _ body: [UInt8]) throws {
        guard agent.mapLinks.contains(server.index) else { return }
        if isUp {
            handle(server, MapEvent.message(link: link(of: agent), body))
        } else {
            try handle(agent, MapEvent.message(link: UInt64(server.index), body))
        }
    }

    /// Hands what an agent's core has heard to its map, when the core is done.
    func tellMap(_ agent: WorldAgent, _ event: MapEvent) {
        schedule(1, .agentMapEvent(agent.index, generation: agent.generation, event))
    }

    /// Tells an agent's core of its map as it is now.
    func tellMap(_ agent: WorldAgent) throws {
        agent.mapChanged = false
        guard let view = agent.map?.view(at: agent.clock(now)) else { return }
        try handle(agent, AgentEvent.map(view))
        syncLinks(agent)
    }
}
