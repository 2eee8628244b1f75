import Directory
import DirectoryClient
import Glibc
import Primitives
import Records
import Transport
import Wire

/// Asks directory servers over UDP, as somebody who has the map does: one thread, several lanes, a window of lookups.
final class Client {
    static let laneCount = 4

    let lanes: [Lane]
    private var servers: [Server] = []
    var records: [Published] = []
    var entropy = Entropy.system()
    var nextCall: UInt64 = 1

    /// - Parameter network: the lanes' addresses are 127.N.0.1, 127.N+1.0.1 and so on.
    init(network: UInt8) throws {
        lanes = try (0..<Client.laneCount).map { try Lane(host: (127, network &+ UInt8($0), 0, 1)) }
    }

    // MARK: Preparation

    /// Asks every server of a bootstrap list who it is.
    func meet(_ links: [PeerLink]) throws {
        let strangers = links.compactMap { Server($0) }
        servers = try ask(strangers.map { ($0, DirectoryMessage.ping) }).map { message in
            guard case .nodes(let bytes, _) = message else { throw Failure("a server does not say who it is") }
            return Server(try ServerDescriptor(decoding: bytes))
        }
    }

    /// Makes records, and puts each to its holders.
    /// - Returns: the bytes of one record.
    func publish(_ count: Int) throws -> Int {
        let now = Timestamp.now()
        let placement = Placement(
            nodes: servers.map { Placement.Node(id: $0.node, cluster: $0.cluster, prefix: $0.address.prefix) },
            epoch: now.epoch)
        for _ in 0..<count {
            let user = SigningKey(&entropy)
            let body = RecordBody(
                home: servers.first?.node ?? Bytes32(), account: entropy.bytes(),
                sealing: X25519PublicKey(entropy.bytes()), operational: VerifyingKey(entropy.bytes()),
                operationalExpiry: now.seconds + 86_400, policy: 1, prekeys: Bytes32(), user: user)
            let record = try DirectoryRecord.seal(
                body: body, user: user, epoch: now.epoch, sequence: now.seconds, entropy: &entropy)
            let rings = placement.rings(of: record.blindedKey).map { ring in
                ring.compactMap { node in servers.first { $0.node == node } }
            }
            let encoded = record.encode()
            for answer in try ask(rings.flatMap(\.self).map { ($0, DirectoryMessage.put(record: encoded)) }) {
                guard case .stored = answer else { throw Failure("a holder refused a record: \(answer)") }
            }
            records.append(
                Published(user: NetworkID(key: user.publicKey), encoded: encoded, rings: rings))
        }
        return records.first?.encoded.count ?? 0
    }

    /// One message to each server, all answers awaited, in order.
    private func ask(_ questions: [(server: Server, message: DirectoryMessage)]) throws -> [DirectoryMessage] {
        var order: [UInt64: Int] = [:]
        var answers: [DirectoryMessage?] = Array(repeating: nil, count: questions.count)
        var ended: [(call: UInt64, body: [UInt8]?)] = []
        for (index, question) in questions.enumerated() {
            order[nextCall] = index
            ended += lanes[0].call(nextCall, question.server, question.message.encode())
            nextCall += 1
        }
        while !order.isEmpty {
            for (call, body) in ended {
                guard let index = order.removeValue(forKey: call) else { continue }
                guard let body else { throw Failure("a server does not answer") }
                answers[index] = try DirectoryMessage(decoding: body)
            }
            ended = order.isEmpty ? [] : wait()
        }
        return answers.compactMap(\.self)
    }

    /// Whatever ends within some milliseconds.
    func wait() -> [(call: UInt64, body: [UInt8]?)] {
        var polled = lanes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        poll(&polled, nfds_t(polled.count), 20)
        return zip(lanes, polled).flatMap { ($1.revents == 0 ? [] : $0.receive()) + $0.wake() }
    }
}
