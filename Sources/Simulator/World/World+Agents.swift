import Correspondence
import Directory
import Federation
import Primitives
import Records
import Storage
import Wire

extension World {
    /// Seconds after which an agent that was killed starts again.
    private static let restartSeconds: UInt64 = 5
    /// Nobody guesses names here.
    private static let nameCost = Argon2id(operations: 1, memoryKiB: 8)

    func start(_ agent: WorldAgent) throws {
        guard agent.core == nil else { return }
        if defect == .forgetsSeen { forget(agent) }
        let roots = Set(trustedServers.map { $0.clusterKey.publicKey })
        do throws(StorageError) { try agent.start(now, trusting: roots) } catch {
            figures.storageFailures += 1
            return schedule(5000, .startAgent(agent.index))
        }
        record(.start, from: place(agent.index))
        for (epoch, value) in (agent.core?.sharedValues ?? [:]).sorted(by: { $0.key < $1.key }) {
            try handle(agent, MapEvent.sharedRandom(epoch: epoch, value))
        }
        try tellMap(agent)
        try bootstrap(agent)
        if agent.account == nil { schedule(3000, .register(agent.index, generation: agent.generation)) }
    }

    /// An agent that loses its table of messages seen: a defect.
    private func forget(_ agent: WorldAgent) {
        for table in [Table("seen"), Table("inbox")] {
            var keys: [[UInt8]] = []
            try? agent.store.scan(table, from: []) { key, _ in
                keys.append(key)
                return true
            }
            for key in keys { try? agent.store.delete(table, key) }
        }
        agent.store.commit()
    }

    func kill(_ agent: WorldAgent, _ kind: FaultyStore.Crash) {
        guard agent.core != nil else { return }
        record(.crash, from: place(agent.index))
        figures.kills += 1
        count(agent)
        for server in servers { server.mailboxes.disconnect(agent.index) }
        dropMapLinks(agent)
        agent.stop(kind)
        schedule(World.restartSeconds * 1000, .startAgent(agent.index))
    }

    // MARK: What users do

    private func request() -> UInt64 {
        defer { nextRequest += 1 }
        return nextRequest
    }

    func register(_ agent: WorldAgent) throws {
        guard agent.account == nil, !agent.registering else { return }
        agent.registering = true
        record(.user, from: place(agent.index), [], "registers")
        try handle(agent, .register(home: servers[agent.homeServer].nodeID, token: "", request: request()))
    }

    /// To a home that does not lie: a liar may lose what it has accepted.
    func move(_ agent: WorldAgent) throws {
        let honest = servers.filter { $0.liar.conduct == .honest }
        guard agent.account != nil, !honest.isEmpty else { return }
        let home = honest[entropy.below(honest.count)].nodeID
        let request = request()
        agent.changes.insert(request)
        record(.user, from: place(agent.index), home.bytes, "moves")
        try handle(agent, .moveHome(to: home, token: "", from: nil, request: request))
    }

    /// What makes a new record: other keys, a name, a second home, or no second home any more.
    func change(_ agent: WorldAgent) throws {
        guard agent.account != nil else { return }
        let request = request()
        agent.changes.insert(request)
        let own = (agent.core?.homes ?? []).filter { $0.stage == .active }.map(\.node)
        switch entropy.below(5) {
        case 0...1:
            record(.user, from: place(agent.index), [], "replaces keys")
            return try handle(agent, .rotate(request: request))
        case 2:
            guard let home = own.first, let server = byNode[home] else { return }
            let name = "user-\(agent.index)"
            let secret = try NameSecret(name: name, server: servers[server].serverKey.publicKey, cost: World.nameCost)
            record(.user, from: place(agent.index), home.bytes, "claims a name")
            return try handle(agent, .claimName(name, secret, request: request))
        default: break
        }
        if own.count > 1, let last = own.last {
            record(.user, from: place(agent.index), last.bytes, "leaves a home")
            return try handle(agent, .removeHome(last, discards: false, request: request))
        }
        let others = servers.filter { $0.liar.conduct == .honest && !own.contains($0.nodeID) }
        guard !others.isEmpty else { return }
        let home = others[entropy.below(others.count)].nodeID
        record(.user, from: place(agent.index), home.bytes, "adds a home")
        try handle(agent, .addHome(home, token: "", request: request))
    }

    func send(_ agent: WorldAgent, to other: Int, _ number: Int) throws {
        let request = request()
        texts[request] = other
        // Some messages have several parts.
        let size = number % 4 == 3 ? 3000 : 40
        let text = Array("\(agent.index) to \(other), \(number) ".utf8)
        let body = Array((0..<(size / text.count + 1)).flatMap { _ in text }.prefix(size))
        record(.user, from: place(agent.index), to: place(other), [], "sends")
        try handle(agent, .send(agents[other].id, body: body, request: request))
    }

    func lookup(_ agent: WorldAgent, _ other: Int) throws {
        let request = request()
        floors[request] = floor(of: agents[other].id, for: agent)
        record(.user, from: place(agent.index), to: place(other), [], "looks up")
        try handle(agent, .resolve(agents[other].id, request: request))
    }

    // MARK: Events and effects

    func handle(_ agent: WorldAgent, _ event: AgentEvent) throws {
        guard agent.core != nil else { return }
        let effects: [AgentEffect]?
        do throws(StorageError) {
            effects = try agent.core?.handle(
                event, now: agent.clock(now), entropy: &agent.entropy, store: &agent.store)
        } catch {
            // A real agent ends with an error, and its user starts it again.
            figures.storageFailures += 1
            return kill(agent, .process)
        }
        if let doom = agent.doom {
            if doom.events <= 0 {
                if doom.isCommitted {
                    agent.store.commit()
                    agent.store.sync()
                }
                return kill(agent, .power)
            }
            agent.doom?.events -= 1
        }
        agent.store.commit()
        agent.store.sync()
        perform(effects ?? [], agent)
    }

    private func perform(_ effects: [AgentEffect], _ agent: WorldAgent) {
        let index = agent.index
        for effect in effects {
            switch effect {
            case .envelope(let bytes, let gateway):
                guard agent.links.contains(gateway), let server = byNode[gateway] else { continue }
                record(.upload, from: place(index), to: server, bytes)
                guard let delay = network.streamDelay(place(index), server, &entropy) else { continue }
                schedule(delay, .upload(bytes, to: server, agent: index, generation: agent.generation))
            case .claim(let secret, let gateway):
                guard agent.links.contains(gateway), let server = byNode[gateway] else { continue }
                record(.claim, from: place(index), to: server, secret.bytes)
                guard let delay = network.streamDelay(place(index), server, &entropy) else { continue }
                schedule(delay, .claim(secret, at: server, agent: index, generation: agent.generation))
            case .mapAnswer(let answer): tellMap(agent, .inquired(answer))
            case .sharedValue(let epoch, let value): tellMap(agent, .sharedRandom(epoch: epoch, value))
            case .gatewaysChanged: syncLinks(agent)
            case .renewLink(let gateway):
                schedule(20, .connect(agent.index, generation: agent.generation, gateway, attempt: 0))
            case .registered(let request, let report):
                if agent.account == nil {
                    agent.account = report.account
                    figures.registrations += 1
                } else {
                    changed(agent, request)
                }
                record(.report, from: place(index), report.account.bytes, "registered")
            case .homeRemoved(let request):
                changed(agent, request)
                record(.report, from: place(index), [], "home removed")
            case .rotated(let request, _):
                changed(agent, request)
                record(.report, from: place(index), [], "rotated")
            case .named(let request, _):
                changed(agent, request)
                record(.report, from: place(index), [], "name")
            case .nameReleased, .nameResolved: record(.report, from: place(index), [], "name")
            case .foreignRecord: record(.report, from: place(index), [], "foreign record")
            case .homeClosed(let home): record(.report, from: place(index), home.bytes, "home closed")
            case .resolved(let request, let report): resolved(agent, request, report)
            case .queued(let request, let message):
                record(.report, from: place(index), message.bytes, "queued")
                if let other = texts.removeValue(forKey: request) { ledger.queued(message, from: index, to: other) }
            case .accepted(let message):
                record(.report, from: place(index), message.bytes, "accepted")
                ledger.accepted(message)
            case .delivered(let message):
                record(.report, from: place(index), message.bytes, "delivered")
                ledger.delivered(message)
            case .unresolved(let message, _): record(.report, from: place(index), message.bytes, "unresolved")
            case .received(let message):
                record(.shown, from: place(index), message.messageID.bytes + message.body)
                ledger.shown(message.messageID, to: index, at: elapsed)
            case .failed(let request, _): failed(agent, request)
            }
        }
        arm(agent)
    }

    private func resolved(_ agent: WorldAgent, _ request: UInt64, _ report: ResolveReport) {
        figures.lookups += 1
        if report.asked > 0 { figures.lookupsAsked += 1 }
        record(.report, from: place(agent.index), report.id.key.bytes.bytes, "resolved")
        if let floor = floors.removeValue(forKey: request) { check(report, of: agent, floor) }
    }

    private func changed(_ agent: WorldAgent, _ request: UInt64) {
        if agent.changes.remove(request) != nil { figures.changes += 1 }
    }

    private func failed(_ agent: WorldAgent, _ request: UInt64) {
        record(.report, from: place(agent.index), [], "failed")
        texts[request] = nil
        if agent.changes.remove(request) != nil { return }
        if floors.removeValue(forKey: request) != nil || agent.account != nil { figures.lookupFailures += 1 }
        guard agent.account == nil else { return }
        agent.registering = false
        schedule(5000, .register(agent.index, generation: agent.generation))
    }

    func wake(_ agent: WorldAgent, _ time: UInt64) throws {
        if agent.armed == time { agent.armed = nil }
        let own = agent.clock(now)
        if agent.core?.isDue(own) ?? false { try handle(agent, AgentEvent.wake) }
        if agent.map?.isDue(own) ?? false { try handle(agent, MapEvent.wake) }
        arm(agent)
    }

    func arm(_ agent: WorldAgent) {
        guard agent.core != nil, let due = [agent.core?.nextWake, agent.map?.nextWake].compactMap(\.self).min()
        else { return }
        let own = Int64(clamping: due.milliseconds).subtractingReportingOverflow(agent.skew).partialValue
        // As the driver does: a clock that went back is noticed within a minute.
        let time = min(max(UInt64(max(0, own)), now.milliseconds + 1), now.milliseconds + 60_000)
        if let armed = agent.armed, armed <= time { return }
        agent.armed = time
        queue.push(.agentWake(agent.index, generation: agent.generation, time), due: time)
    }

    /// A reply on its way from a gateway to an agent.
    func download(_ id: Bytes16, _ payload: [UInt8], _ server: WorldServer, _ agent: Int) {
        guard let said = server.liar.says(payload, &entropy), isWhole(server, to: place(agent)) else { return }
        record(.mailboxReply, from: server.index, to: place(agent), said)
        guard let delay = network.streamDelay(server.index, place(agent), &entropy) else { return }
        schedule(delay, .reply(agent, generation: agents[agent].generation, id: id, said))
    }

    // MARK: Links

    func syncLinks(_ agent: WorldAgent) {
        guard let wanted = agent.core?.wantedGateways else { return }
        for gateway in agent.links.sorted() where !wanted.contains(gateway) {
            if let index = byNode[gateway] { servers[index].mailboxes.disconnect(agent.index) }
            schedule(10, .disconnect(agent.index, generation: agent.generation, gateway))
        }
        for gateway in wanted
        where !agent.links.contains(gateway) && agent.connecting.insert(gateway).inserted {
            schedule(20, .connect(agent.index, generation: agent.generation, gateway, attempt: 0))
        }
    }

    func disconnect(_ agent: WorldAgent, _ gateway: NodeID) throws {
        if let server = byNode[gateway] { try mapLinkDown(agent, servers[server]) }
        guard agent.links.remove(gateway) != nil else { return }
        record(.link, from: place(agent.index), to: byNode[gateway], [], "down")
        try handle(agent, .linkDown(gateway: gateway))
        syncLinks(agent)
    }

    func connect(_ agent: WorldAgent, _ gateway: NodeID, _ attempt: Int) throws {
        guard agent.core?.wantedGateways.contains(gateway) == true else {
            agent.connecting.remove(gateway)
            return
        }
        let own = place(agent.index)
        if let server = byNode[gateway], servers[server].isUp, network.reaches(own, server),
            network.reaches(server, own)
        {
            agent.connecting.remove(gateway)
            // A second link to a gateway, for another mailbox, compares no maps anew.
            let isFirst = agent.links.insert(gateway).inserted
            record(.link, from: own, to: server, [], "up")
            try handle(agent, .linkUp(gateway: gateway))
            if isFirst { try mapLinkUp(agent, servers[server]) }
        } else if attempt < 3 {
            schedule(1000, .connect(agent.index, generation: agent.generation, gateway, attempt: attempt + 1))
        } else {
            agent.connecting.remove(gateway)
            do throws(StorageError) {
                let effects =
                    try agent.core?.gatewayFailed(
                        gateway, now: agent.clock(now), entropy: &agent.entropy, store: &agent.store) ?? []
                agent.store.commit()
                agent.store.sync()
                perform(effects, agent)
            } catch { return kill(agent, .process) }
            syncLinks(agent)
        }
    }
}
