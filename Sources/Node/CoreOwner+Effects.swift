import Directory
import Envelope
import Federation
import Home
import Link
import Transport
import Wire

/// What the cores ask for.
extension CoreOwner {
    func perform(_ effects: [MapEffect]) {
        var isChanged = false
        for effect in effects {
            switch effect {
            case .send(let link, let body): links[link]?.send(kind: .map, body: body)
            case .learned(let server):
                ledger.replace(server)
                isChanged = true
            case .lost(let node):
                ledger.remove(node)
                isChanged = true
            case .viewChanged: isChanged = true
            case .learnedCluster: break
            case .evidence(let piece): evidence?.write(piece.fileName, piece.encode(), logger)
            // Only agents ask in envelopes, and wait for a map to be whole; nodes hear of everything over their links.
            case .inquire, .compared: break
            case .measure(let epoch, let targets, let until): ports?.measure(targets, epoch, until)
            case .copied(let descriptor):
                let sighting = copies.saw(descriptor, .now())
                logger.error(
                    "another server announces itself with this server's key: a copy of the data directory runs there. Stop it; what it announced is replaced",
                    metadata: ["address": "\(sighting.address)", "within_an_hour": "\(sighting.count)"])
                ports?.copied(sighting)
            case .snapshotVerdict(let epoch, let verdict): verdict.report(epoch, logger)
            }
        }
        if isChanged { mapChanged() }
    }

    func perform(_ effects: [DirectoryEffect]) {
        for effect in effects {
            switch effect {
            case .call(let call, let endpoint, let message):
                perform(
                    self.endpoint.call(
                        call, to: endpoint.address, peer: endpoint.linkKey, request: message, now: .now(),
                        entropy: &entropy))
            case .answer(let token, let message):
                switch answerers.removeValue(forKey: token) {
                case .datagram(let request):
                    perform(endpoint.answer(request, message, now: .now(), entropy: &entropy))
                case .replyBlock(let block): reply(block, message)
                case nil: break
                }
            case .joined(let contacts):
                // Once is news; it joins again whenever it knows few.
                logger.log(
                    level: news.hasJoined ? .debug : .info, "joined the directory",
                    metadata: ["contacts": "\(contacts)"])
                news.hasJoined = true
            case .alarm(_, let detail):
                logger.warning("the directory may be under attack", metadata: ["detail": "\(detail)"])
            case .send(let link, let body): links[link]?.send(kind: .map, body: body)
            case .sharedValue(let epoch, let value): handle(.map(.sharedRandom(epoch: epoch, value)))
            case .sharedRandom(let report):
                CoreOwner.log(report, logger)
                if case .equivocated(let piece) = report { evidence?.write(piece.fileName, piece.encode(), logger) }
            case .lookedUp(let request, let result): lookedUp(request, result)
            }
        }
    }

    func perform(_ effects: [HomeEffect]) {
        for case .send(let block, let content) in effects { reply(block, content) }
    }

    func reply(_ block: ReplyBlock, _ content: [UInt8]) {
        do throws(EnvelopeError) {
            ports?.start(try block.reply(content: content), block.firstHop)
        } catch {
            ledger.count("core.reply.failed")
        }
    }

    func perform(_ effects: [DatagramEndpoint.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let datagram, let address): loop.send(datagram, to: address)
            case .requested(let request, let peer, let address, let isProven, let body):
                guard let token = token(.datagram(request)) else { continue }
                handle(
                    .directory(
                        .request(
                            from: Endpoint(linkKey: peer, address: address), isProven: isProven, token: token,
                            message: body)))
            case .answered(let call, let body): handle(.directory(.answer(call: call, message: body)))
            case .failed(let call): handle(.directory(.failed(call: call)))
            }
        }
        if !isDraining { scheduleWake() }
    }

    func token(_ answerer: Answerer) -> UInt64? {
        // Not without a place for the request that it is for, either.
        guard answerers.count < CoreOwner.answererLimit, events.count < CoreOwner.eventLimit else {
            ledger.count("core.overload")
            return nil
        }
        let token = nextToken
        nextToken += 1
        answerers[token] = answerer
        return token
    }
}
