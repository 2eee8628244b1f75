import Directory
import Envelope
import Federation
import Home
import Link
import Primitives
import Records
import Relay
import Transport
import Wire

/// What arrives from sockets and links.
extension CoreOwner {
    func receive(_ datagram: [UInt8], from address: Wire.SocketAddress) {
        // What it asks is handled at once, without another round of the loop.
        let isFirst = !isDraining
        isDraining = true
        perform(endpoint.receive(datagram, from: address, now: .now(), entropy: &entropy))
        guard isFirst else { return }
        isDraining = false
        if events.isEmpty { scheduleWake() } else { drain() }
    }

    /// An envelope's payload reached its destination: this server.
    func deliver(_ payload: [UInt8]) {
        guard let content = try? Payload.content(of: payload), let request = try? ServiceRequest(decoding: content)
        else {
            ledger.count("service.malformed")
            return
        }
        switch request.service {
        case .directory:
            guard let block = request.replyBlocks.first, let token = token(.replyBlock(block)) else {
                ledger.count("service.malformed")
                return
            }
            handle(.directory(.request(from: nil, token: token, message: request.body)))
        case .map:
            guard let block = request.replyBlocks.first, let answer = map.answerInquiry(request.body, at: .now()) else {
                ledger.count("service.malformed")
                return
            }
            reply(block, answer)
        case .home:
            handle(.home(.request(body: request.body, replyBlocks: request.replyBlocks)))
        }
    }

    /// - Parameters:
    ///   - peer: the server at the other end, and its key; `nil` for an agent.
    func linkUp(_ link: StreamLink, peer: NodeID?, key: X25519PublicKey? = nil) {
        // What a link says of itself is never dropped later, so that there is room for it is seen to here.
        guard events.count < CoreOwner.eventLimit else {
            ledger.count("core.overload")
            return link.close()
        }
        links[link.id] = link
        if let key {
            news.links.up(link.id, key, .now())
            tellOfLink(key)
        }
        handle(.map(.linkUp(link: link.id, peer: peer)))
        if peer != nil { handle(.directory(.linkUp(link.id))) }
    }

    /// A frame of the map's kind: the first byte says whose it is (specs/map.md, "Gossip").
    func frame(_ body: [UInt8], on id: UInt64) {
        guard let kind = body.first, SharedRandomCore.kinds.contains(kind) else {
            return handle(.map(.message(link: id, body)))
        }
        handle(.directory(.frame(link: id, body)))
    }

    func linkDown(_ id: UInt64, _ reason: String? = nil) {
        noteLinkDown(id, reason)
        guard links.removeValue(forKey: id) != nil else { return }
        handle(.map(.linkDown(link: id)))
        handle(.directory(.linkDown(id)))
    }
}
