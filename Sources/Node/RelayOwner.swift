import Envelope
import Link
import Logging
import NIOCore
import Primitives
import Records
import Relay
import Storage
import Transport
import Wire

/// The event loop that owns the relay's core, the outgoing links and the gateway's mailboxes.
///
/// Confined to `loop`: every method but ``enqueue(_:)`` runs there, which is what makes `@unchecked Sendable` true.
final class RelayOwner: @unchecked Sendable {
    /// What the rest of the node does for the relay.
    struct Ports: Sendable {
        /// Opens a stream link to a server; its events come back through the node.
        var connect: @Sendable (NodeID) -> Void
        /// An envelope whose last hop is this server carried these contents.
        var deliver: @Sendable ([UInt8]) -> Void
        /// A path through a relay and back to this server; `nil` while the map has none.
        var loopThrough: @Sendable (NodeID) -> [Hop]?
        /// What was measured of others in an epoch is complete.
        var measured: @Sendable (_ epoch: UInt64, _ results: [NodeID: UInt8]) -> Void
    }

    let loop: any EventLoop
    var core: RelayCore
    private var links = PeerLinks()
    /// Servers to which a link is kept without envelopes for them.
    private var wanted: Set<NodeID> = []
    private var mailboxes = Mailboxes()
    private var agents: [UInt64: StreamLink] = [:]
    /// The links of servers that are on the map.
    private var servers: [UInt64: NodeID] = [:]
    /// `nil` but on a testbed.
    private var visitors: VisitorList?
    private var agentEnvelopes: UInt64 = 0
    private var agentReplies: UInt64 = 0
    private let journal: ReplayJournal
    private var toJournal: [ReplayJournal.Entry] = []
    private var lastTicket: UInt64 = 0
    private var journaling = false
    private var wakeTask: Scheduled<Void>?
    private var isExpiring = false
    var probeTask: Scheduled<Void>?
    var entropy = Entropy.system()
    var ports: Ports?
    private let logger: Logger

    /// Seconds between two looks at how long envelopes have waited for a link, while any wait.
    private static let expiryInterval: Int64 = 5

    init(
        loop: any EventLoop, journal: ReplayJournal, visitors: VisitorList?, logger: Logger
    ) throws(StorageError) {
        self.loop = loop
        self.journal = journal
        self.visitors = visitors
        self.logger = logger
        var entropy = Entropy.system()
        var core = RelayCore(entropy: &entropy)
        try journal.restore(from: Timestamp.now().epoch &- 1) { core.restore(epoch: $0.epoch, tag: $0.tag) }
        self.core = core
    }

    /// Runs `body` on the owner's loop.
    func enqueue(_ body: @escaping @Sendable (RelayOwner) -> Void) {
        loop.execute { body(self) }
    }

    /// An envelope that was unwrapped on a link's own loop.
    func accept(_ envelope: [UInt8], _ unwrapped: Unwrapped, epoch: UInt64, from link: UInt64) {
        if agents[link] != nil { agentEnvelopes += 1 }
        let source = servers[link].map { EnvelopeSource.server($0) } ?? .guest(link: link)
        perform(core.accept(envelope, unwrapped, epoch: epoch, from: source, now: .now()))
    }

    /// An envelope that this server starts: a reply of its home or directory.
    func start(_ envelope: [UInt8], to node: NodeID) {
        perform([.forward(to: node, envelope: envelope)])
    }

    /// Sends a loop through three other relays; called by the node's timer.
    func startLoop(_ path: [Hop]) {
        perform(core.startLoop(path: path, now: .now(), entropy: &entropy))
    }

    func perform(_ effects: [RelayEffect]) {
        for effect in effects {
            switch effect {
            case .journal(let epoch, let tag, let ticket):
                toJournal.append(.init(epoch: epoch, tag: tag))
                lastTicket = ticket
            case .forward(let node, let envelope):
                follow(links.send(envelope, to: node, now: .now()))
            case .deliver(let payload):
                ports?.deliver(payload)
            case .reply(let handle, let id, let payload):
                reply(Mailboxes.Reply(id: id, payload: payload), to: handle)
            }
        }
        commitJournal()
        scheduleWake()
        scheduleExpiry()
    }

    private func follow(_ directive: PeerLinks.Directive?) {
        switch directive {
        case .connect(let node): ports?.connect(node)
        case .send(let link, let envelope): link.send(kind: .envelope, body: envelope)
        case nil: break
        }
    }

    /// Envelopes for a server that does not answer are dropped in time.
    private func scheduleExpiry() {
        guard !isExpiring, links.waiting > 0 else { return }
        isExpiring = true
        loop.scheduleTask(in: .seconds(RelayOwner.expiryInterval)) {
            self.isExpiring = false
            self.links.expire(now: .now())
            self.scheduleExpiry()
        }
    }

    private func commitJournal() {
        guard !journaling, !toJournal.isEmpty else { return }
        journaling = true
        let entries = toJournal
        let ticket = lastTicket
        toJournal.removeAll(keepingCapacity: true)
        journal.commit(entries) { written in
            self.loop.execute {
                self.journaling = false
                if written {
                    self.perform(self.core.journaled(through: ticket, now: .now()))
                } else {
                    // Tickets are released in order, so these tags must reach the disk before any later one.
                    self.toJournal.insert(contentsOf: entries, at: 0)
                    self.loop.scheduleTask(in: .seconds(1)) { self.commitJournal() }
                }
            }
        }
    }

    private func scheduleWake() {
        wakeTask?.cancel()
        guard let due = core.nextWake else { return }
        let delay = due.milliseconds(since: .now())
        wakeTask = loop.scheduleTask(in: .milliseconds(Int64(min(delay, 60_000)))) {
            self.perform(self.core.wake(now: .now()))
        }
    }

    // MARK: Links

    func established(_ node: NodeID, _ link: StreamLink) {
        servers[link.id] = node
        for directive in links.established(node, link) { follow(directive) }
    }

    func drain(_ node: NodeID) {
        for directive in links.drain(node) { follow(directive) }
    }

    /// A link to a server ended, or none came about.
    func peerClosed(_ node: NodeID, _ link: UInt64?) {
        if let link { servers[link] = nil }
        guard let wait = links.closed(node, now: .now()) else { return }
        loop.scheduleTask(in: .milliseconds(Int64(wait))) {
            self.follow(self.links.retry(node, isWanted: self.wanted.contains(node)))
        }
    }

    /// The server left the map before a link to it was opened.
    func peerUnreachable(_ node: NodeID) { links.unreachable(node) }

    /// A server on the map opened a link, or one that had opened one came onto the map.
    func serverOpened(_ node: NodeID, _ link: UInt64) { servers[link] = node }

    /// Opens no more links; called before the loops end on which they would be opened.
    func openNoMore() async {
        await withCheckedContinuation { continuation in
            loop.execute {
                self.ports?.connect = { _ in }
                continuation.resume()
            }
        }
    }

    /// Keeps links to these servers open, and no longer to those that go by another name now.
    func keepOpen(_ nodes: [NodeID], insteadOf named: [NodeID]) {
        wanted = Set(nodes)
        for node in named { links.remove(node)?.close() }
        for node in nodes { follow(links.open(node, now: .now())) }
    }

    /// Forgets abandoned mailboxes; called every minute.
    func expireMailboxes() { mailboxes.expire(now: .now()) }

    // MARK: Mailboxes

    func agentOpened(_ link: StreamLink) {
        agents[link.id] = link
        visitors?.opened(link)
    }

    func claim(_ secret: Bytes32, _ link: StreamLink) {
        guard agents[link.id] != nil,
            case .claimed(let handle, let waiting) = mailboxes.claim(secret, link: link.id, now: .now())
        else { return link.close() }
        visitors?.claimed(link)
        link.send(kind: .claimed, body: handle.bytes)
        for reply in waiting { send(reply, link) }
    }

    /// An agent's socket takes replies again.
    func agentWritable(_ id: UInt64) {
        guard let link = agents[id] else { return }
        for reply in mailboxes.drain(link: id) { send(reply, link) }
    }

    func forget(before epoch: UInt64) {
        core.forget(before: epoch)
        journal.forget(before: epoch)
    }

    /// A link that an agent or a server had opened ended.
    func guestClosed(_ id: UInt64) {
        agents[id] = nil
        servers[id] = nil
        mailboxes.disconnect(link: id, now: .now())
    }

    private func reply(_ reply: Mailboxes.Reply, to handle: Bytes16) {
        let link = mailboxes.deliver(reply, to: handle) { agents[$0]?.isWritable ?? false }
        if let link = link.flatMap({ agents[$0] }) { send(reply, link) }
    }

    private func send(_ reply: Mailboxes.Reply, _ link: StreamLink) {
        agentReplies += 1
        link.send(kind: .reply, body: reply.id.bytes + reply.payload)
    }

    // MARK: Statement

    func fill(_ status: inout NodeStatus) {
        let counters = core.counters
        status.gateway = .init(
            agents: agents.count, agentsWithMailbox: mailboxes.linkCount, mailboxes: mailboxes.count,
            repliesWaiting: mailboxes.waiting, envelopesFromAgents: agentEnvelopes, repliesToAgents: agentReplies,
            agentAddresses: visitors?.agentAddresses, mapAddresses: visitors?.mapAddresses)
        status.mix = .init(
            neighbours: links.connected.map { String($0.hex.prefix(16)) }.sorted(), received: counters.accepted,
            forwarded: counters.forwarded, dropped: links.dropped, replays: counters.replays, waiting: core.waiting)
        status.store.journalTrouble = journal.trouble
        status.counters.merge(counters.sums) { _, new in new }
        status.counters["links.dropped"] = links.dropped
        status.counters["mailbox.replies.dropped"] = mailboxes.droppedReplies
        status.counters["mailbox.claims.refused"] = mailboxes.refusedClaims
    }
}
