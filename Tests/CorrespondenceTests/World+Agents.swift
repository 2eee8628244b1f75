import Correspondence
import Directory
import Envelope
import Federation
import Home
import Primitives
import Records
import Storage
import Wire

extension World {
    /// A new agent, started.
    mutating func addAgent(_ configuration: AgentConfiguration = AgentConfiguration()) throws -> Int {
        agents.append(try SimulatedAgent(configuration, dice))
        try start(agent: agents.count - 1)
        return agents.count - 1
    }

    mutating func start(agent: Int) throws {
        guard agents[agent].core == nil else { return }
        try agents[agent].start(now)
        try handle(agent: agent, .map(MapView(servers: servers.map(\.descriptor))))
        try syncLinks(agent)
    }

    mutating func kill(agent: Int) {
        for index in servers.indices { servers[index].mailboxes.disconnect(agent) }
        agents[agent].stop()
    }

    mutating func request() -> UInt64 {
        defer { nextRequest += 1 }
        return nextRequest
    }

    @discardableResult
    mutating func register(_ agent: Int, at index: Int, token: String = "") throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .register(home: servers[index].nodeID, token: token, request: request))
        return request
    }

    @discardableResult
    mutating func addHome(_ agent: Int, _ index: Int) throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .addHome(servers[index].nodeID, token: "", request: request))
        return request
    }

    @discardableResult
    mutating func move(_ agent: Int, to index: Int, from old: Int? = nil) throws -> UInt64 {
        let request = request()
        try handle(
            agent: agent,
            .moveHome(to: servers[index].nodeID, token: "", from: old.map { servers[$0].nodeID }, request: request))
        return request
    }

    @discardableResult
    mutating func rotate(_ agent: Int) throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .rotate(request: request))
        return request
    }

    @discardableResult
    mutating func removeHome(_ agent: Int, _ index: Int, discards: Bool = false) throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .removeHome(servers[index].nodeID, discards: discards, request: request))
        return request
    }

    @discardableResult
    mutating func send(_ agent: Int, to id: NetworkID, _ body: [UInt8]) throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .send(id, body: body, request: request))
        return request
    }

    @discardableResult
    mutating func send(_ agent: Int, to other: Int, _ text: String) throws -> UInt64 {
        try send(agent, to: agents[other].id, Array(text.utf8))
    }

    @discardableResult
    mutating func resolve(_ agent: Int, _ id: NetworkID) throws -> UInt64 {
        let request = request()
        try handle(agent: agent, .resolve(id, request: request))
        return request
    }

    /// - Returns: how many messages there were.
    mutating func deleteMessages(_ agent: Int, _ selection: InboxSelection) throws -> Int {
        try agents[agent].deleteMessages(selection)
    }

    mutating func handle(agent: Int, _ event: AgentEvent) throws {
        guard agents[agent].core != nil else { return }
        guard let effects = try agents[agent].handle(event, now, dice) else {
            kill(agent: agent)
            schedule(1500, .startAgent(agent))
            return
        }
        try perform(effects, agent: agent)
    }

    private mutating func perform(_ effects: [AgentEffect], agent: Int) throws {
        let generation = agents[agent].generation
        for effect in effects {
            switch effect {
            case .envelope(let bytes, let gateway):
                agents[agent].sent.append(now.milliseconds)
                guard agents[agent].links.contains(gateway), let index = index(of: gateway) else { continue }
                schedule(10, .upload(bytes, to: index, agent: agent, generation: generation))
            case .claim(let secret, let gateway):
                if let place = agents[agent].claims.lastIndex(where: { $0.gateway == gateway }) {
                    agents[agent].claims[place].secrets.append(secret)
                }
                guard agents[agent].links.contains(gateway), let index = index(of: gateway) else { continue }
                schedule(10, .claim(secret, at: index, agent: agent, generation: generation))
            case .renewLink(let gateway):
                schedule(20, .connect(agent, generation: generation, gateway, attempt: 0))
            // The map of this world is handed to agents whole.
            case .mapAnswer: break
            case .sharedValue(let epoch, let value): agents[agent].sharedValues[epoch] = value
            case .gatewaysChanged: try syncLinks(agent)
            case .registered(_, let report): agents[agent].registered.append(report)
            case .homeRemoved(let request): agents[agent].removed.append(request)
            case .rotated(_, let serial): agents[agent].serials.append(serial)
            case .named(_, let name): agents[agent].names.append(name)
            case .nameReleased(_, let name): agents[agent].names.removeAll { $0 == name }
            case .nameResolved(let request, let report): agents[agent].nameReports[request] = report
            case .foreignRecord(let found): agents[agent].foreign.append(found)
            case .homeClosed(let home): agents[agent].closed.append(home)
            case .resolved(_, let report): agents[agent].resolved.append(report)
            case .queued(let request, let messageID): agents[agent].queued[request] = messageID
            case .accepted(let messageID): agents[agent].accepted.append(messageID)
            case .delivered(let messageID): agents[agent].delivered.append(messageID)
            case .unresolved(_, let error): agents[agent].unresolved.append(error)
            case .received(let message): agents[agent].received.append(message)
            case .failed(let request, let error): agents[agent].failed[request] = error
            }
        }
        arm(agent: agent)
    }

    mutating func arm(agent: Int) {
        guard let due = agents[agent].core?.nextWake else { return }
        let time = max(due.milliseconds, now.milliseconds + 1)
        if let armed = agents[agent].armed, armed <= time { return }
        agents[agent].armed = time
        queue.push(time, .agentWake(agent, generation: agents[agent].generation, time))
    }

    /// A reply on its way from a gateway to an agent.
    mutating func download(_ id: Bytes16, _ payload: [UInt8], _ agent: Int) {
        var payload = payload
        if random(100) < tamperPercent { payload[random(payload.count)] ^= 1 }
        schedule(10, .reply(agent, generation: agents[agent].generation, id: id, payload))
    }

    // MARK: Links

    mutating func syncLinks(_ agent: Int) throws {
        guard let wanted = agents[agent].core?.wantedGateways else { return }
        let generation = agents[agent].generation
        for gateway in agents[agent].links.sorted() where !wanted.contains(gateway) {
            if let index = index(of: gateway) { servers[index].mailboxes.disconnect(agent) }
            schedule(10, .disconnect(agent, generation: generation, gateway))
        }
        for gateway in wanted
        where !agents[agent].links.contains(gateway) && agents[agent].connecting.insert(gateway).inserted {
            schedule(20, .connect(agent, generation: generation, gateway, attempt: 0))
        }
    }

    mutating func connect(_ agent: Int, _ gateway: NodeID, _ attempt: Int) throws {
        guard agents[agent].core?.wantedGateways.contains(gateway) == true else {
            agents[agent].connecting.remove(gateway)
            return
        }
        if let index = index(of: gateway), servers[index].isUp {
            agents[agent].connecting.remove(gateway)
            agents[agent].links.insert(gateway)
            agents[agent].claims.append((gateway, []))
            try handle(agent: agent, .linkUp(gateway: gateway))
        } else if attempt < 3 {
            schedule(
                1000,
                .connect(agent, generation: agents[agent].generation, gateway, attempt: attempt + 1))
        } else {
            agents[agent].connecting.remove(gateway)
            try perform(agents[agent].gatewayFailed(gateway, now, dice), agent: agent)
            try syncLinks(agent)
        }
    }
}
