import Directory
import Primitives
import Records
import Wire

/// An event on its way to a server.
struct DirectoryDelivery {
    enum Content {
        case event(DirectoryEvent)
        /// Whatever is due at this server, if nothing was scheduled since.
        case wake(ticket: UInt64)
        /// The server stops or starts again.
        case turn
    }

    let to: Int
    let life: UInt32
    let content: Content
}

/// Who waits for the answer to a request.
struct DirectoryWaiting {
    let node: Int
    let life: UInt32
    let call: UInt64
    let answerer: Int
    /// When the driver gives it up.
    let deadline: UInt64
}

/// Datagrams among servers, under virtual time.
extension DirectoryWorld {
    /// After this time the driver of a server reports that a call was not answered, as the node's does.
    static let callTimeout: UInt64 = 1500

    /// Hands an event to a server and sees to what it wants done.
    func deliver(_ event: DirectoryEvent, to index: Int) throws(DirectoryExperimentError) {
        let node = nodes[index]
        guard node.isUp else { return }
        fillTable(of: index)
        let stored = node.core.counters.stored
        let effects = try node.handle(event, now: now, entropy: &entropy)
        if ledger != nil, node.core.counters.stored > stored, case .request(_, _, _, let message) = event {
            ledger?.stored(message, users)
        }
        for effect in effects { perform(effect, of: index) }
        schedule(index)
    }

    func perform(_ effect: DirectoryEffect, of index: Int) {
        switch effect {
        case .call(let call, let endpoint, let message):
            calls += 1
            callBytes += message.count
            let life = nodes[index].life
            guard let target = addresses[endpoint.address], nodes[target].endpoint == endpoint else {
                push(index, .event(.failed(call: call)), after: DirectoryWorld.callTimeout)
                return
            }
            nextToken += 1
            waiting[nextToken] = DirectoryWaiting(
                node: index, life: life, call: call, answerer: target,
                deadline: now.milliseconds + DirectoryWorld.callTimeout)
            let isProven = sessions.call((index, life), to: (target, nodes[target].life), now)
            let request = DirectoryEvent.request(
                from: nodes[index].endpoint, isProven: isProven, token: nextToken, message: message)
            push(target, .event(request), after: travel(index, target))
        case .answer(let token, let message):
            guard let asker = waiting.removeValue(forKey: token) else {
                if expected.remove(token) != nil, let message = try? DirectoryMessage(decoding: message) {
                    answers[token] = (now, message)
                }
                return
            }
            callBytes += message.count
            let delivery = DirectoryDelivery(
                to: asker.node, life: asker.life, content: .event(.answer(call: asker.call, message: message)))
            let due = now.milliseconds + travel(asker.answerer, asker.node)
            guard due <= asker.deadline else {
                // Too late: the driver has reported a failure before.
                return push(asker.node, .event(.failed(call: asker.call)), after: 0)
            }
            sessions.answered((asker.node, asker.life), by: (asker.answerer, nodes[asker.answerer].life), now)
            queue.push(delivery, due: due)
        case .alarm(let alarm, _): alarms.append((index, alarm))
        default: break
        }
    }

    /// A request will not be answered: who asked learns it when the time is over.
    private func giveUp(_ token: UInt64) {
        guard let asker = waiting.removeValue(forKey: token) else { return }
        let failure = DirectoryDelivery(to: asker.node, life: asker.life, content: .event(.failed(call: asker.call)))
        queue.push(failure, due: max(asker.deadline, now.milliseconds))
    }

    /// The median round trip from each region to the servers: what a searcher there calls a round trip.
    func medianRoundTrips() -> [Double] {
        latency.names.indices.map { region in
            guard roundTrip == nil else { return Double(roundTrip ?? 0) }
            var sample = RankedSample()
            for other in regions.prefix(2000) {
                sample.add(latency.delay(region, other, &entropy) + latency.delay(other, region, &entropy))
            }
            return sample.quantile(0.5)
        }
    }

    private func travel(_ from: Int, _ to: Int) -> UInt64 {
        if let roundTrip { return roundTrip / 2 }
        return UInt64(latency.delay(regions[from], regions[to], &entropy).rounded())
    }

    func push(_ index: Int, _ content: DirectoryDelivery.Content, after delay: UInt64) {
        queue.push(
            DirectoryDelivery(to: index, life: nodes[index].life, content: content), due: now.milliseconds + delay)
    }

    /// Sees to it that the server is woken when it wants to be.
    func schedule(_ index: Int) {
        let node = nodes[index]
        guard let wake = node.core.nextWake, node.isUp else { return }
        let due = max(wake.milliseconds, now.milliseconds + 1)
        guard node.wakeDue <= now.milliseconds || due < node.wakeDue else { return }
        node.wakeDue = due
        node.wakeTicket += 1
        queue.push(
            DirectoryDelivery(to: index, life: node.life, content: .wake(ticket: node.wakeTicket)), due: due)
    }

    /// Lets time pass.
    /// - Parameter turn: called when a server's ``DirectoryDelivery/Content/turn`` has come.
    func run(
        milliseconds: UInt64, until isOver: () -> Bool = { false },
        turn: (Int) throws(DirectoryExperimentError) -> Void = { _ in }
    ) throws(DirectoryExperimentError) {
        let end = now.milliseconds + milliseconds
        while let due = queue.next, due <= end, !isOver() {
            guard let (at, delivery) = queue.pop() else { break }
            now = Timestamp(milliseconds: max(at, now.milliseconds))
            try hand(delivery, turn)
        }
        if !isOver() { now = Timestamp(milliseconds: end) }
    }

    private func hand(
        _ delivery: DirectoryDelivery, _ turn: (Int) throws(DirectoryExperimentError) -> Void
    ) throws(DirectoryExperimentError) {
        let node = nodes[delivery.to]
        switch delivery.content {
        case .turn: try turn(delivery.to)
        case .wake(let ticket):
            guard node.isUp, node.life == delivery.life, node.wakeTicket == ticket else { return }
            node.wakeDue = 0
            try deliver(.wake, to: delivery.to)
        case .event(.request(let from, let isProven, let token, let message)):
            guard node.isUp else { return giveUp(token) }
            if node.conduct != .honest, lie(delivery.to, token, message) { return }
            try deliver(.request(from: from, isProven: isProven, token: token, message: message), to: delivery.to)
        case .event(let event):
            guard node.isUp, node.life == delivery.life else { return }
            try deliver(event, to: delivery.to)
        }
    }

    /// A colluder's part in others' searches: it names colluders near the target, truly signed, and has no record.
    /// - Returns: whether it dealt with the request.
    private func lie(_ index: Int, _ token: UInt64, _ bytes: [UInt8]) -> Bool {
        guard let message = try? DirectoryMessage(decoding: bytes) else { return false }
        let node = nodes[index]
        let target: Bytes32
        switch message {
        case .findNode(let wanted): target = wanted
        case .findValue(let key, let epoch, let place):
            if node.conduct == .wrong, let answer = conspiracy.answer(.wrong, key, entropy: &entropy) {
                perform(.answer(token: token, message: answer.encode()), of: index)
                return true
            }
            target = DirectoryCore.kademliaTarget(of: key, epoch: epoch, place: place)
        default: return false
        }
        if node.conduct == .silent {
            giveUp(token)
            return true
        }
        let contacts = nearest(colluders, target, DirectoryMessage.contactLimit).compactMap { id in
            indices[id].map { nodes[$0].contact }
        }
        let answer = DirectoryMessage.nodes(descriptor: node.descriptor, contacts)
        perform(.answer(token: token, message: answer.encode()), of: index)
        return true
    }

    /// Those of a sorted list that are closest to a target by XOR: they share its leading bits, so they lie around it.
    private func nearest(_ sorted: [NodeID], _ target: Bytes32, _ count: Int) -> [NodeID] {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < target { low = middle + 1 } else { high = middle }
        }
        let wanted = target.bytes
        let window = sorted[max(0, low - 4 * count)..<min(sorted.count, low + 4 * count)]
        return window.map { (distance: zip($0.bytes, wanted).map { $0 ^ $1 }, id: $0) }
            .sorted { $0.distance.lexicographicallyPrecedes($1.distance) }.prefix(count).map(\.id)
    }
}
