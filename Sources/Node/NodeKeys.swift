import FoundationEssentials
import Primitives
import Records
import Transport
import Wire

/// The secrets of one server: its own key, its link key, and the cluster's key as long as it lies here.
///
/// An operator may take `cluster.key` away; the server then runs on its certificate until that expires.
final class NodeKeys: Sendable {
    /// Seconds for which a certificate is issued, and before whose end it is issued anew.
    private static let certificateLifetime: UInt64 = 90 * 86_400
    private static let certificateRenewal: UInt64 = 30 * 86_400

    let cluster: ClusterKey?
    let server: SigningKey
    let link: LinkKey
    let certificate: ServerCertificate

    /// The cluster's key, boxed because an optional of it must be shared.
    final class ClusterKey: Sendable {
        let key: SigningKey
        init(_ key: consuming SigningKey) { self.key = key }
    }

    /// Makes the keys that are missing; the cluster's only where there is no certificate either.
    init(directory: String, now: Timestamp, entropy: inout Entropy) throws {
        let clusterPath = directory + "/cluster.key"
        let certificatePath = directory + "/server.cert"
        let hasCertificate = FileManager.default.fileExists(atPath: certificatePath)
        if FileManager.default.fileExists(atPath: clusterPath) || !hasCertificate {
            cluster = ClusterKey(
                try SigningKey(seed: KeyFile.loadOrCreate(clusterPath, count: 32, entropy: &entropy)))
        } else {
            cluster = nil
        }
        server = try SigningKey(seed: KeyFile.loadOrCreate(directory + "/server.key", count: 32, entropy: &entropy))
        link = LinkKey(
            try X25519PrivateKey(KeyFile.loadOrCreate(directory + "/link.key", count: 32, entropy: &entropy)))
        var known: ServerCertificate?
        if hasCertificate, let bytes = FileManager.default.contents(atPath: certificatePath) {
            known = try? ServerCertificate(decoding: Array(bytes))
        }
        if let known, known.serverID == server.publicKey, known.expiry > now.seconds + NodeKeys.certificateRenewal {
            certificate = known
        } else if let cluster {
            certificate = ServerCertificate(
                server: server.publicKey, expiry: now.seconds + NodeKeys.certificateLifetime, cluster: cluster.key)
            do {
                try Data(certificate.encode()).write(to: URL(fileURLWithPath: certificatePath), options: .atomic)
            } catch {
                throw NodeError.unreadable(path: certificatePath, reason: FileFailure.reason(error))
            }
        } else if let known, known.serverID == server.publicKey, known.expiry > now.seconds {
            certificate = known
        } else {
            throw NodeError.configuration(
                field: certificatePath, reason: "the certificate is over; put cluster.key back to issue another")
        }
    }

    var nodeID: NodeID { Records.Node.id(of: server.publicKey) }
}
