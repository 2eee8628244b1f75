import Directory
import Primitives
import Records
import Storage
import Wire

/// Why an experiment could not be run.
public enum DirectoryExperimentError: Error, Equatable, Sendable {
    /// The network is smaller than the experiment needs.
    case tooFewNodes(needed: Int)
    case storage(StorageError)
    case record(RecordError)
    case descriptor(DescriptorError)
}

/// One directory server: the real core over a store in memory.
final class SimulatedDirectory {
    /// What its keys are drawn from.
    private let seed: UInt64
    let contact: Contact
    let cluster: VerifyingKey
    let descriptor: [UInt8]
    var core: DirectoryCore
    var store = MemoryStore()
    var isUp = true
    /// Whether its drawn routing table was handed to it.
    var hasTable = true
    var conduct = DirectoryConduct.honest
    /// When the driver hands in the next wake, and which of those under way counts.
    var wakeDue: UInt64 = 0
    var wakeTicket: UInt64 = 0
    /// Counts restarts, so that what was meant for an earlier life is dropped.
    var life: UInt32 = 0

    init(
        _ index: Int, configuration: DirectoryConfiguration, now: Timestamp, seed: UInt64
    ) throws(DirectoryExperimentError) {
        self.seed = seed
        var entropy = Entropy(seed: seed)
        // The server's key is the first draw: who grinds for an identity tries seeds.
        let server = SigningKey(&entropy)
        let cluster = SigningKey(&entropy)
        // Addresses spread over the prefixes as an operator's are: one cluster, one /16.
        let address = SocketAddress(
            v4: (UInt8(1 + index / 256 % 220), UInt8(index % 256), UInt8(index / 56_320 % 256), 1), port: 4000)
        let endpoint = Endpoint(linkKey: X25519PublicKey(entropy.bytes()), address: address)
        do throws(DescriptorError) {
            descriptor = try ServerDescriptor(
                certificate: ServerCertificate(
                    server: server.publicKey, expiry: now.seconds + 30 * 86_400, cluster: cluster),
                sequence: 1, expiry: now.seconds + 2 * 86_400, linkKey: endpoint.linkKey, tcp: address, udp: address,
                roles: [.directory], mixKeys: [MixKeyEntry(epoch: now.epoch, key: X25519PublicKey(entropy.bytes()))],
                software: "simulated", key: server
            ).encode()
        } catch { throw .descriptor(error) }
        contact = Contact(serverID: server.publicKey, endpoint: endpoint)
        self.cluster = cluster.publicKey
        do throws(StorageError) {
            core = try DirectoryCore(
                serverID: contact.serverID, descriptor: descriptor, configuration: configuration, now: now,
                store: store)
        } catch { throw .storage(error) }
    }

    /// The cluster's key, made anew: few experiments need it.
    func clusterKey() -> SigningKey {
        var entropy = Entropy(seed: seed)
        _ = SigningKey(&entropy)
        return SigningKey(&entropy)
    }

    var serverID: VerifyingKey { contact.serverID }
    var nodeID: NodeID { contact.nodeID }
    var endpoint: Endpoint { contact.endpoint }

    func handle(
        _ event: DirectoryEvent, now: Timestamp, entropy: inout Entropy
    ) throws(DirectoryExperimentError) -> [DirectoryEffect] {
        do throws(StorageError) {
            return try core.handle(event, now: now, entropy: &entropy, store: &store)
        } catch { throw .storage(error) }
    }

    /// Starts again, with the disk it had or an empty one.
    func restart(
        keepsDisk: Bool, configuration: DirectoryConfiguration, now: Timestamp
    ) throws(DirectoryExperimentError) {
        if !keepsDisk { store = MemoryStore() }
        life += 1
        isUp = true
        do throws(StorageError) {
            core = try DirectoryCore(
                serverID: serverID, descriptor: descriptor, configuration: configuration, now: now, store: store)
        } catch { throw .storage(error) }
    }

    /// What a request without a proven sender is answered at once; `nil` when the answer needs other nodes first.
    func ask(
        _ message: DirectoryMessage, now: Timestamp, entropy: inout Entropy
    ) throws(DirectoryExperimentError) -> DirectoryMessage? {
        let effects = try handle(.request(from: nil, token: 1, message: message.encode()), now: now, entropy: &entropy)
        for effect in effects {
            if case .answer(1, let bytes) = effect { return try? DirectoryMessage(decoding: bytes) }
        }
        return nil
    }
}
