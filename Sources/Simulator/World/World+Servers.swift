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
    /// A call that is not answered in this time has failed, in milliseconds.
    static let callTimeout: UInt64 = 2000

    // MARK: Start and stop

    func start(_ server: WorldServer) {
        guard !server.isUp else { return }
        switch defect {
        case .losesDisk, .repeatsSequence: server.store = FaultyStore()
        case .restoresBackup: server.store = server.backup ?? server.store
        default: break
        }
        record(.start, from: server.index)
        do {
            server.numbersByHour = defect == .repeatsSequence
            try server.start(now, keepsJournal: defect != .forgetsReplays)
            publish(server)
        } catch {
            // The operator tries again.
            figures.storageFailures += 1
            server.stop(.process)
            schedule(5000, .startServer(server.index))
            return
        }
        for link in linksOf[server.index] {
            let other = other(link, than: server.index)
            if other.isUp { connect(server, other, link) }
        }
        for (epoch, value) in server.directory.recentValues(at: server.clock(now)) {
            handle(server, MapEvent.sharedRandom(epoch: epoch, value))
        }
        changeMap(server)
        planLoop(server)
        arm(server)
    }

    func connect(_ server: WorldServer, _ other: WorldServer, _ link: Int) {
        handle(server, .linkUp(link: UInt64(link), peer: other.nodeID))
        handle(other, .linkUp(link: UInt64(link), peer: server.nodeID))
        handle(server, .linkUp(UInt64(link)))
        handle(other, .linkUp(UInt64(link)))
    }

    func crash(_ server: WorldServer, _ kind: FaultyStore.Crash, for seconds: UInt64) {
        guard server.isUp else { return }
        record(.crash, from: server.index)
        figures.crashes += 1
        count(server)
        server.stop(kind)
        for link in linksOf[server.index] {
            let other = other(link, than: server.index)
            guard other.isUp else { continue }
            handle(other, .linkDown(link: UInt64(link)))
            handle(other, .linkDown(UInt64(link)))
        }
        for agent in agents where agent.links.contains(server.nodeID) || agent.mapLinks.contains(server.index) {
            schedule(10, .disconnect(agent.index, generation: agent.generation, server.nodeID))
        }
        schedule(max(1, seconds) * 1000, .startServer(server.index))
    }

    func other(_ link: Int, than index: Int) -> WorldServer {
        servers[links[link].left == index ? links[link].right : links[link].left]
    }

    // MARK: Timers

    func arm(_ server: WorldServer) {
        guard server.isUp else { return }
        for part in WorldServer.Part.allCases {
            guard let due = server.nextWake(part) else { continue }
            let own = Int64(clamping: due.milliseconds).subtractingReportingOverflow(server.skew).partialValue
            var time = max(UInt64(max(0, own)), now.milliseconds + 1)
            // As the driver does: a clock that went back is noticed within a minute.
            if server.isAhead(part, of: now) { time = min(time, now.milliseconds + 60_000) }
            if let armed = server.armed[part], armed <= time { continue }
            server.armed[part] = time
            queue.push(.wake(server.index, generation: server.generation, part, time), due: time)
        }
    }

    func wake(_ server: WorldServer, _ part: WorldServer.Part, _ time: UInt64) throws {
        if server.armed[part] == time { server.armed[part] = nil }
        if server.isDue(part, now) {
            switch part {
            case .relay: try perform(server.relay.wake(now: server.clock(now)), server)
            case .home: handle(server, HomeEvent.wake)
            case .directory: handle(server, DirectoryEvent.wake)
            case .map: handle(server, MapEvent.wake)
            case .epoch:
                try server.roll(now)
                publish(server)
            case .publications: publish(server)
            case .probe: try wakeProbe(server)
            }
        }
        arm(server)
    }

    /// What the server says of itself, until its disk takes it.
    private func publish(_ server: WorldServer) {
        let descriptors = server.publications.take(server.clock(now))
        guard !descriptors.isEmpty else { return }
        var effects: [MapEffect] = []
        for descriptor in descriptors {
            do throws(MapError) {
                effects += try server.map.publish(descriptor, now: server.clock(now), store: &server.store)
            } catch {
                // After a restart within a second, or with a clock that went back, the map has a newer one already.
                guard case .storage = error else { continue }
                return refused(server)
            }
        }
        hold(server, .published(descriptors, effects))
    }

    // MARK: Cores

    func handle(_ server: WorldServer, _ event: HomeEvent) {
        guard server.isUp else { return }
        do throws(StorageError) {
            let effects = try server.home.handle(event, now: server.clock(now), store: &server.store)
            hold(server, .home(effects))
        } catch { refused(server) }
    }

    func handle(_ server: WorldServer, _ event: DirectoryEvent) {
        guard server.isUp else { return }
        do throws(StorageError) {
            let effects = try server.directory.handle(
                event, now: server.clock(now), entropy: &server.entropy, store: &server.store)
            hold(server, .directory(effects))
        } catch { refused(server) }
    }

    func handle(_ server: WorldServer, _ event: MapEvent) {
        guard server.isUp else { return }
        do throws(StorageError) {
            let effects = try server.map.handle(
                event, now: server.clock(now), entropy: &server.entropy, store: &server.store)
            hold(server, .map(effects))
        } catch { refused(server) }
    }

    /// Nothing of the transaction is on disk, so none of its effects may happen, as in the node.
    private func refused(_ server: WorldServer) {
        figures.storageFailures += 1
        server.store.rollback()
        arm(server)
    }

    /// Commits the transaction and keeps its effects until it is synced.
    private func hold(_ server: WorldServer, _ effects: WorldServer.Held) {
        if case .beforeCommit(let left)? = server.doom {
            if left == 0 { return crash(server, .process, for: 20) }
            server.doom = .beforeCommit(left - 1)
        }
        server.store.commit()
        if defect == .performsBeforeSync {
            perform(effects, server)
            if server.store.unsyncedCount == 1 { schedule(20_000, .sync(server.index, generation: server.generation)) }
            return arm(server)
        }
        server.held.append(effects)
        if server.held.count == 1 {
            let delay = UInt64(1 + entropy.below(5))
            schedule(delay, .sync(server.index, generation: server.generation))
        }
        if case .beforeSync(let left)? = server.doom {
            if left == 0 { return crash(server, entropy.below(2) == 0 ? .power : .torn, for: 20) }
            server.doom = .beforeSync(left - 1)
        }
        arm(server)
    }

    /// The disk has everything up to now: what it tells of may happen.
    func sync(_ server: WorldServer) throws {
        server.store.sync()
        let held = server.held
        server.held = []
        let generation = server.generation
        for effects in held where server.generation == generation { perform(effects, server) }
    }

    /// Whether the server dies before its next effect.
    private func dies(_ server: WorldServer) -> Bool {
        guard case .atEffect(let left)? = server.doom else { return !server.isUp }
        server.doom = .atEffect(left - 1)
        guard left == 0 else { return false }
        crash(server, .power, for: 20)
        return true
    }

    private func perform(_ effects: WorldServer.Held, _ server: WorldServer) {
        switch effects {
        case .home(let effects):
            for case .send(let block, let content) in effects {
                if dies(server) { return }
                reply(block, content, server)
            }
        case .directory(let effects): perform(effects, server)
        case .map(let effects): perform(effects, server)
        case .published(let descriptors, let effects):
            for descriptor in descriptors { server.publications.settle(descriptor) }
            perform(effects, server)
        }
    }

    // MARK: Envelopes

    func arrive(_ envelope: [UInt8], _ server: WorldServer) throws {
        guard server.isUp else { return record(.lost, from: server.index, [], "server is down") }
        try perform(server.accept(envelope, now), server)
    }

    func perform(_ effects: [RelayEffect], _ server: WorldServer) throws {
        for effect in effects {
            if dies(server) { return }
            switch effect {
            case .journal(let epoch, let tag, let ticket):
                server.journal.append((epoch, tag), ticket: ticket)
            case .forward(let node, let envelope): transmit(envelope, from: server, to: node)
            case .deliver(let payload): deliver(payload, server)
            case .reply(let handle, let id, let payload):
                if let agent = server.mailboxes.deliver(id, payload, to: handle) {
                    download(id, payload, server, agent)
                }
            }
        }
        commitJournal(server)
        arm(server)
    }

    /// One transaction at a time, as in the node: what comes meanwhile makes up the next.
    func commitJournal(_ server: WorldServer) {
        guard let ticket = server.journal.begin() else { return }
        schedule(3, .journaled(server.index, generation: server.generation, ticket: ticket))
    }

    /// The transaction is on disk and its envelopes may go on; or the disk is full, and it is tried again.
    func journaled(_ server: WorldServer, _ ticket: UInt64) throws {
        guard !server.store.isDiskFull else {
            figures.storageFailures += 1
            server.journal.fail()
            return schedule(1000, .journalAgain(server.index, generation: server.generation))
        }
        for (_, tag) in server.journal.finish() {
            record(.journal, from: server.index, tag.bytes)
            ledger.took(tag, server: server.index, at: elapsed)
        }
        commitJournal(server)
        try perform(server.relay.journaled(through: ticket, now: server.clock(now)), server)
    }

    private func deliver(_ payload: [UInt8], _ server: WorldServer) {
        guard let content = try? Payload.content(of: payload), let request = try? ServiceRequest(decoding: content)
        else { return }
        switch request.service {
        case .map:
            guard let block = request.replyBlocks.first,
                let answer = server.map.answerInquiry(request.body, at: server.clock(now))
            else {
                return
            }
            reply(block, answer, server)
        case .home: handle(server, .request(body: request.body, replyBlocks: request.replyBlocks))
        case .directory:
            guard let block = request.replyBlocks.first else { return }
            server.liar.hears(request.body)
            let token = server.token(for: .init(way: .envelope(block), request: request.body))
            handle(server, .request(from: nil, token: token, message: request.body))
        }
    }

    func reply(_ block: ReplyBlock, _ content: [UInt8], _ server: WorldServer) {
        guard let envelope = try? block.reply(content: content) else { return }
        transmit(envelope, from: server, to: block.firstHop)
    }

    private func transmit(_ envelope: [UInt8], from server: WorldServer, to node: NodeID) {
        guard let target = byNode[node], server.carries(scenario.carries, at: now),
            let said = server.liar.says(envelope, &entropy), isWhole(server, to: target)
        else { return }
        record(.envelope, from: server.index, to: target, said)
        for delay in network.delays(server.index, target, &entropy) { schedule(delay, .envelope(said, to: target)) }
        guard server.liar.conduct == .replaying else { return }
        schedule(1000 + UInt64(entropy.below(60_000)), .envelope(said, to: target))
    }
}
