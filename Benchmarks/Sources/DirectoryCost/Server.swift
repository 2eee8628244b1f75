import Directory
import DirectoryClient
import LMDB
import Link
import Primitives
import Records
import Storage
import Wire

/// A directory server without its sockets: what a node does from a datagram to its answer.
final class DatagramServer {
    private var endpoint: DatagramEndpoint
    private var core: DirectoryCore
    private let store: LMDBEnvironment
    private var entropy = Entropy.system()
    let linkKey: X25519PublicKey

    init(store: LMDBEnvironment, now: Timestamp) throws {
        let key = X25519PrivateKey(&entropy)
        linkKey = key.publicKey
        // All callers have one address here.
        var bounds = DatagramBounds()
        bounds.prefixHandshakesPerSecond = .max
        endpoint = DatagramEndpoint(key: key, bounds: bounds, entropy: &entropy)
        var configuration = DirectoryConfiguration()
        configuration.prefixRate = .max
        configuration.unprovenRate = .max
        self.store = store
        core = try store.read { (store: inout LMDBTransaction) throws(StorageError) in
            try DirectoryCore(
                serverID: VerifyingKey(Bytes32()), descriptor: [], configuration: configuration, now: now, store: store)
        }
    }

    /// - Returns: the datagrams that leave.
    func receive(_ datagram: [UInt8], from address: SocketAddress, now: Timestamp) throws -> [[UInt8]] {
        var sent: [[UInt8]] = []
        for effect in endpoint.receive(datagram, from: address, now: now, entropy: &entropy) {
            switch effect {
            case .send(let datagram, _): sent.append(datagram)
            case .requested(let token, let peer, let from, let isProven, let body):
                let request = DirectoryEvent.request(
                    from: Endpoint(linkKey: peer, address: from), isProven: isProven, token: token, message: body)
                var store = BufferedStore(try store.beginReading(), sealed: WriteBuffer(), open: WriteBuffer())
                for case .answer(let token, let message) in try core.handle(
                    request, now: now, entropy: &entropy, store: &store)
                {
                    for case .send(let datagram, _) in endpoint.answer(token, message, now: now, entropy: &entropy) {
                        sent.append(datagram)
                    }
                }
                guard store.finish().isEmpty else { throw Failure("a get has written") }
            case .answered, .failed: break
            }
        }
        return sent
    }
}
