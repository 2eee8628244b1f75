import Envelope
import Federation
import Link
import NIOCore
import NIOPosix
import Primitives
import Records
import Relays
import Storage
import Synchronization
import Transport
import Wire

/// The relay's neighbour, which sends it envelopes and to which those go on: a server on the map, for a stranger's link is
/// read at an agent's pace.
final class Driver: Sendable {
    private struct State: ~Copyable {
        var map: MapCore
        var store = MemoryStore()
        var entropy = Entropy.system()
        var links: [UInt64: StreamLink] = [:]
        var source: StreamLink?
        var envelopes: [[UInt8]] = []
        var sent = 0
        var received = 0
        var finished: ContinuousClock.Instant?
    }

    /// What one run was like.
    struct Run {
        var received: Int
        var seconds: Double
    }

    /// The longest that one run takes, however steadily envelopes come.
    private static let limit = Duration.seconds(120)

    private let state: Mutex<State>
    private let check: @Sendable () throws -> Void
    private let relay: PeerLink
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    private let sink: LinkKey
    private let sinkNode: NodeID
    private let sinkMix: X25519PublicKey
    private let address: Wire.SocketAddress
    /// What the relay's operator puts into the list of peers.
    let peer: PeerLink

    /// - Parameter check: throws when the relay has ended.
    init(relay: PeerLink, address: Wire.SocketAddress, check: @escaping @Sendable () throws -> Void) throws {
        var entropy = Entropy.system()
        let now = Timestamp.now()
        let cluster = SigningKey(&entropy)
        let server = SigningKey(&entropy)
        self.check = check
        self.relay = relay
        self.address = address
        sink = LinkKey(X25519PrivateKey(&entropy))
        sinkMix = X25519PrivateKey(&entropy).publicKey
        peer = PeerLink(clusterID: cluster.publicKey, linkKey: sink.publicKey, address: address)
        let descriptor = try ServerDescriptor(
            certificate: ServerCertificate(server: server.publicKey, expiry: now.seconds + 86_400, cluster: cluster),
            sequence: now.milliseconds, expiry: now.seconds + 86_400, linkKey: sink.publicKey, tcp: address,
            udp: address, roles: [.relay], mixKeys: [MixKeyEntry(epoch: now.epoch, key: sinkMix)],
            software: "hulda relay-throughput", key: server)
        sinkNode = descriptor.nodeID
        var store = MemoryStore()
        var map = try MapCore(admission: Admission(roots: [relay.clusterID]), now: now, store: store)
        _ = try map.publish(descriptor.encode(), now: now, store: &store)
        state = Mutex(State(map: map, store: store))
    }

    /// Listens for the relay, connects to it, and waits until envelopes come through.
    func connect() async throws {
        guard let remote = relay.address else { throw RelayProcess.Failure("the relay's peer link has no address") }
        _ = try await StreamLink.serve(address.nio(), key: sink, group: group) { [weak self] in self?.handle($0) }
        let remoteAddress = try remote.nio()
        for _ in 0..<100 where state.withLock({ $0.source == nil }) {
            try check()
            StreamLink.connect(to: .address(remoteAddress), peer: relay.linkKey, identity: sink, group: group) {
                [weak self] event in
                if case .established(let link, _) = event { self?.state.withLock { $0.source = link } }
                self?.handle(event)
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        for _ in 0..<100 {
            try check()
            try await Task.sleep(for: .milliseconds(100))
            wake()
            guard relayKey != nil else { continue }
            if try await run(count: 1, window: 1, patience: .milliseconds(500)).received == 1 { return }
        }
        throw RelayProcess.Failure("no envelope came through the relay")
    }

    func close() async throws { try await group.shutdownGracefully() }

    /// Sends `count` envelopes, never more than `window` of them under way.
    ///
    /// The envelopes are made before, so that the clock sees the relay only.
    /// - Parameter patience: how long to wait for the next envelope before the rest counts as lost.
    func run(count: Int, window: Int, patience: Duration = .seconds(5)) async throws -> Run {
        try await run(prepare(count: count), window: window, patience: patience)
    }

    func prepare(count: Int) throws -> [[UInt8]] {
        guard let key = relayKey else { throw RelayProcess.Failure("the relay's mix key is not on the map") }
        var entropy = Entropy.system()
        let path = [Hop(node: key.node, key: key.mix), Hop(node: sinkNode, key: sinkMix)]
        let content = entropy.array(Geometry.contentSize)
        return try (0..<count).map { _ in try Wrap.forward(path: path, content: content, entropy: &entropy) }
    }

    func run(_ envelopes: [[UInt8]], window: Int, patience: Duration = .seconds(5)) async throws -> Run {
        let start = ContinuousClock.now
        state.withLock { state in
            state.envelopes = envelopes
            state.sent = 0
            state.received = 0
            state.finished = nil
            for _ in 0..<window { Driver.sendNext(&state) }
        }
        var last = (count: 0, at: start)
        while true {
            try await Task.sleep(for: .milliseconds(20))
            try check()
            wake()
            let (received, finished) = state.withLock { ($0.received, $0.finished) }
            if let finished { return Run(received: received, seconds: Driver.seconds(finished - start)) }
            let now = ContinuousClock.now
            if received > last.count { last = (received, now) }
            let isLate = now - last.at > patience || now - start > Driver.limit
            if isLate { return Run(received: received, seconds: Driver.seconds(last.at - start)) }
        }
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    private static func sendNext(_ state: inout State) {
        guard state.sent < state.envelopes.count else { return }
        state.source?.send(kind: .envelope, body: state.envelopes[state.sent])
        state.sent += 1
    }

    /// The relay's identity and mix key of today, once it has announced them.
    private var relayKey: (node: NodeID, mix: X25519PublicKey)? {
        let epoch = Timestamp.now().epoch
        return state.withLock { state in
            state.map.servers.values.first { $0.clusterID == relay.clusterID }
                .flatMap { server in server.mixKey(epoch: epoch).map { (server.nodeID, $0) } }
        }
    }

    // MARK: Links

    private func handle(_ event: StreamEvent) {
        state.withLock { state in
            switch event {
            case .established(let link, _):
                state.links[link.id] = link
                Driver.map(.linkUp(link: link.id, peer: Bytes32()), &state)
            case .frame(_, FrameKind.envelope.rawValue, _):
                state.received += 1
                if state.received == state.envelopes.count { state.finished = .now }
                Driver.sendNext(&state)
            case .frame(let link, FrameKind.map.rawValue, let body):
                Driver.map(.message(link: link.id, body), &state)
            case .frame, .writable:
                break
            case .closed(let link, _):
                guard let link, state.links.removeValue(forKey: link.id) != nil else { return }
                Driver.map(.linkDown(link: link.id), &state)
            }
        }
    }

    private func wake() { state.withLock { Driver.map(.wake, &$0) } }

    private static func map(_ event: MapEvent, _ state: inout State) {
        do throws(StorageError) {
            let effects = try state.map.handle(event, now: .now(), entropy: &state.entropy, store: &state.store)
            for case .send(let link, let body) in effects { state.links[link]?.send(kind: .map, body: body) }
        } catch {
            print("the driver's map: \(error)")
        }
    }
}
