import Correspondence
import Directory
import Envelope
import Federation
import Home
import Primitives
import Records
import Relay
import Storage
import Wire

extension World {
    func index(of node: NodeID) -> Int? { servers.firstIndex { $0.nodeID == node } }

    /// The time on a server's own clock.
    func local(_ index: Int) -> Timestamp { now.shifted(by: servers[index].skew) }

    mutating func kill(_ index: Int) {
        guard servers[index].isUp else { return }
        note("kill", index)
        servers[index].stop()
        for link in mapLinks where link.ends.contains(index) { close(link) }
        for agent in agents.indices where agents[agent].links.contains(servers[index].nodeID) {
            schedule(
                10, .disconnect(agent, generation: agents[agent].generation, servers[index].nodeID))
        }
    }

    /// A kill in the middle of an event: somebody starts the server again.
    private mutating func die(_ index: Int) {
        servers[index].kill = nil
        kill(index)
        schedule(1500, .startServer(index))
    }

    mutating func restart(_ index: Int) throws {
        guard !servers[index].isUp else { return }
        note("start", index)
        try servers[index].restart(local(index), dice)
        try announce(index)
        try tellDirectory(index)
        for link in mapLinks where link.ends.contains(index) { try open(link) }
        arm(index)
    }

    mutating func arm(_ index: Int) {
        guard servers[index].isUp else { return }
        for part in SimulatedServer.Part.allCases {
            guard let due = servers[index].nextWake(part) else { continue }
            let time = max(due.shifted(by: -servers[index].skew).milliseconds, now.milliseconds + 1)
            if let armed = servers[index].armed[part], armed <= time { continue }
            servers[index].armed[part] = time
            queue.push(.wake(index, generation: servers[index].generation, part, time), due: time)
        }
    }

    mutating func wake(_ index: Int, _ part: SimulatedServer.Part, _ time: UInt64) throws {
        if servers[index].armed[part] == time { servers[index].armed[part] = nil }
        if let due = servers[index].nextWake(part), due <= local(index) {
            switch part {
            case .relay: try perform(servers[index].relay.wake(now: local(index)), index)
            case .home: perform(try servers[index].handle(HomeEvent.wake, local(index)), index)
            case .directory: try handle(index, DirectoryEvent.wake)
            case .map: try handle(index, MapEvent.wake)
            }
        }
        arm(index)
    }

    // MARK: Envelopes

    mutating func arrive(_ envelope: [UInt8], _ index: Int) throws {
        guard servers[index].isUp else {
            undelivered += 1
            return
        }
        switch servers[index].conduct {
        case .silent: return
        case .drops(let percent) where random(100) < percent: return
        default: break
        }
        note("envelope", index, envelope)
        try perform(servers[index].accept(envelope, local(index)), index)
    }

    /// Sends between servers, over a network that loses, delays and repeats.
    mutating func transmit(_ envelope: [UInt8], from index: Int, to node: NodeID) {
        guard let target = self.index(of: node), random(100) >= lossPercent, network.reaches(index, target) else {
            return
        }
        let path = network.delay(index, target)
        schedule(path + 1 + random(network.jitter), .envelope(envelope, to: target))
        if random(100) < duplicatePercent {
            schedule(path + 1 + random(200), .envelope(envelope, to: target))
            schedule(10_000 + random(50_000), .envelope(envelope, to: target))
        }
    }

    mutating func perform(_ effects: [RelayEffect], _ index: Int) throws {
        var tags: [(epoch: UInt64, tag: Bytes16)] = []
        var last: UInt64 = 0
        for effect in effects {
            switch effect {
            case .journal(let epoch, let tag, let ticket):
                watch.accepted(tag, at: index)
                tags.append((epoch, tag))
                last = ticket
            case .forward(let node, let envelope): transmit(envelope, from: index, to: node)
            case .deliver(let payload): try deliver(payload, index)
            case .reply(let handle, let id, let payload):
                if let agent = servers[index].mailboxes.deliver(id, payload, to: handle) {
                    download(id, payload, agent)
                }
            }
        }
        watch.waiting(servers[index].relay.waiting, at: index)
        if !tags.isEmpty {
            schedule(3, .journaled(index, generation: servers[index].generation, tags, ticket: last))
        }
        arm(index)
    }

    private mutating func deliver(_ payload: [UInt8], _ index: Int) throws {
        let request = try ServiceRequest(decoding: try Payload.content(of: payload))
        switch request.service {
        case .home:
            let outcome = try servers[index].handle(
                .request(body: request.body, replyBlocks: request.replyBlocks), local(index))
            perform(outcome, index)
        case .directory:
            guard let block = request.replyBlocks.first else { return }
            let token = servers[index].token(for: .init(way: .envelope(block), request: request.body))
            try handle(index, .request(from: nil, token: token, message: request.body))
        }
    }

    mutating func perform(_ outcome: Outcome<HomeEffect>, _ index: Int) {
        for case .send(let block, let content) in outcome.effects { answer(block, content, index) }
        if outcome.isDead { die(index) }
        arm(index)
    }

    private mutating func answer(_ block: ReplyBlock, _ content: [UInt8], _ index: Int) {
        guard let envelope = try? block.reply(content: content) else { return }
        transmit(envelope, from: index, to: block.firstHop)
    }

    // MARK: Directory

    mutating func handle(_ index: Int, _ event: DirectoryEvent) throws {
        guard servers[index].isUp else { return }
        let outcome = try servers[index].handle(event, local(index), dice)
        for effect in outcome.effects {
            switch effect {
            case .call(let call, let endpoint, let message):
                largestDirectoryMessage = max(largestDirectoryMessage, message.count)
                let target = servers.firstIndex { $0.endpoint == endpoint }
                let reached = target.flatMap { network.reaches(index, $0) ? $0 : nil }
                let path = target.map { network.delay(index, $0) } ?? 0
                schedule(path + 1 + random(network.jitter), .call(from: index, call, to: reached, message))
            case .answer(let token, let message): respond(index, token, message)
            case .joined, .alarm: break
            }
        }
        if outcome.isDead { die(index) }
        arm(index)
    }

    private mutating func respond(_ index: Int, _ token: UInt64, _ honest: [UInt8]) {
        guard let asker = servers[index].askers.removeValue(forKey: token) else { return }
        if servers[index].conduct == .honest {
            watch.answered(asker.request, honest, at: index, epoch: local(index).epoch)
        }
        guard let message = servers[index].conduct.distort(honest, dice) else { return }
        largestDirectoryMessage = max(largestDirectoryMessage, message.count)
        switch asker.way {
        case .envelope(let block): answer(block, message, index)
        case .server(let from, let call):
            guard network.reaches(index, from) else { return schedule(1000, .answer(from, call: call, nil)) }
            schedule(network.delay(index, from) + 1 + random(network.jitter), .answer(from, call: call, message))
        }
    }

    mutating func called(_ from: Int, _ call: UInt64, _ index: Int?, _ message: [UInt8]) throws {
        guard let index, servers[index].isUp, servers[index].conduct != .silent else {
            schedule(1000, .answer(from, call: call, nil))
            return
        }
        note("call", index, message)
        let token = servers[index].token(for: .init(way: .server(from, call: call), request: message))
        try handle(index, .request(from: servers[from].endpoint, token: token, message: message))
    }
}
