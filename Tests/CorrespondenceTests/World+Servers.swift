import Correspondence
import Directory
import Envelope
import Home
import Primitives
import Records
import Relay
import Storage
import Wire

extension World {
    func index(of node: NodeID) -> Int? { servers.firstIndex { $0.nodeID == node } }

    mutating func kill(_ index: Int) {
        servers[index].stop()
        for agent in agents.indices where agents[agent].links.contains(servers[index].nodeID) {
            schedule(
                10, .disconnect(agent, generation: agents[agent].generation, servers[index].nodeID))
        }
    }

    mutating func restart(_ index: Int) throws {
        guard !servers[index].isUp else { return }
        try servers[index].restart(now, dice)
        try handle(
            index,
            .map(
                servers.map {
                    Placement.Node(
                        id: $0.nodeID, cluster: $0.keys.cluster.publicKey, prefix: $0.endpoint.address.prefix)
                }))
        arm(index)
    }

    mutating func arm(_ index: Int) {
        guard servers[index].isUp else { return }
        for part in SimulatedServer.Part.allCases {
            guard let due = servers[index].nextWake(part) else { continue }
            let time = max(due.milliseconds, now.milliseconds + 1)
            if let armed = servers[index].armed[part], armed <= time { continue }
            servers[index].armed[part] = time
            queue.push(time, .wake(index, generation: servers[index].generation, part, time))
        }
    }

    mutating func wake(_ index: Int, _ part: SimulatedServer.Part, _ time: UInt64) throws {
        if servers[index].armed[part] == time { servers[index].armed[part] = nil }
        if let due = servers[index].nextWake(part), due <= now {
            switch part {
            case .relay: try perform(servers[index].relay.wake(now: now), index)
            case .home: perform(try servers[index].handle(.wake, now), index)
            case .directory: try handle(index, .wake)
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
        guard !servers[index].isDeaf else { return }
        try perform(servers[index].accept(envelope, now), index)
    }

    /// Sends between servers, over a network that loses, delays and repeats.
    mutating func transmit(_ envelope: [UInt8], to node: NodeID) {
        guard let target = index(of: node), random(100) >= lossPercent else { return }
        schedule(1 + random(20), .envelope(envelope, to: target))
        if random(100) < duplicatePercent {
            schedule(1 + random(200), .envelope(envelope, to: target))
            schedule(10_000 + random(50_000), .envelope(envelope, to: target))
        }
    }

    mutating func perform(_ effects: [RelayEffect], _ index: Int) throws {
        var tags: [(epoch: UInt64, tag: Bytes16)] = []
        var last: UInt64 = 0
        for effect in effects {
            switch effect {
            case .journal(let epoch, let tag, let ticket):
                tags.append((epoch, tag))
                last = ticket
            case .forward(let node, let envelope): transmit(envelope, to: node)
            case .deliver(let payload): try deliver(payload, index)
            case .reply(let handle, let id, let payload):
                if let agent = servers[index].mailboxes.deliver(id, payload, to: handle) {
                    download(id, payload, agent)
                }
            }
        }
        if !tags.isEmpty {
            schedule(3, .journaled(index, generation: servers[index].generation, tags, ticket: last))
        }
        arm(index)
    }

    private mutating func deliver(_ payload: [UInt8], _ index: Int) throws {
        let request = try ServiceRequest(decoding: try Payload.content(of: payload))
        switch request.service {
        // Servers of this world have no map of their own.
        case .map: break
        case .home:
            let effects = try servers[index].handle(
                .request(body: request.body, replyBlocks: request.replyBlocks), now)
            perform(effects, index)
        case .directory:
            guard let block = request.replyBlocks.first else { return }
            let token = servers[index].token(for: .envelope(block))
            try handle(index, .request(from: nil, token: token, message: request.body))
        }
    }

    mutating func perform(_ effects: [HomeEffect], _ index: Int) {
        for case .send(let block, let content) in effects { answer(block, content) }
        arm(index)
    }

    private mutating func answer(_ block: ReplyBlock, _ content: [UInt8]) {
        guard let envelope = try? block.reply(content: content) else { return }
        transmit(envelope, to: block.firstHop)
    }

    // MARK: Directory

    mutating func handle(_ index: Int, _ event: DirectoryEvent) throws {
        for effect in try servers[index].handle(event, now, dice) {
            switch effect {
            case .call(let call, let endpoint, let message):
                largestDirectoryMessage = max(largestDirectoryMessage, message.count)
                let target = servers.firstIndex { $0.endpoint == endpoint }
                schedule(1 + random(20), .call(from: index, call, to: target, message))
            case .answer(let token, let message):
                largestDirectoryMessage = max(largestDirectoryMessage, message.count)
                switch servers[index].askers.removeValue(forKey: token) {
                case .envelope(let block): answer(block, message)
                case .server(let from, let call): schedule(1 + random(20), .answer(from, call: call, message))
                case nil: break
                }
            case .joined, .alarm, .send, .sharedValue, .sharedRandom, .lookedUp: break
            }
        }
        arm(index)
    }

    mutating func called(_ from: Int, _ call: UInt64, _ index: Int?, _ message: [UInt8]) throws {
        guard let index, servers[index].isUp else {
            schedule(1000, .answer(from, call: call, nil))
            return
        }
        let token = servers[index].token(for: .server(from, call: call))
        try handle(index, .request(from: servers[from].endpoint, isProven: true, token: token, message: message))
    }
}
