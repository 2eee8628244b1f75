import FoundationEssentials
import NIOConcurrencyHelpers
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

    private let held: NIOLockedValueBox<ClusterKey?>
    let server: SigningKey
    let link: LinkKey
    private let issued: NIOLockedValueBox<ServerCertificate>
    private let certificatePath: String
    private let clusterPath: String

    /// The cluster's key, as long as it lies here.
    var cluster: ClusterKey? { held.withLockedValue { $0 } }

    /// What proves that this server is of its cluster.
    var certificate: ServerCertificate { issued.withLockedValue { $0 } }

    /// The cluster's key, boxed because an optional of it must be shared.
    final class ClusterKey: Sendable {
        let key: SigningKey
        init(_ key: consuming SigningKey) { self.key = key }
    }

    /// Makes the keys that are missing; the cluster's only where there is no certificate either.
    init(directory: String, now: Timestamp, entropy: inout Entropy) throws {
        let clusterPath = directory + "/cluster.key"
        self.clusterPath = clusterPath
        certificatePath = directory + "/server.cert"
        let hasCertificate = FileManager.default.fileExists(atPath: certificatePath)
        var cluster: ClusterKey?
        if FileManager.default.fileExists(atPath: clusterPath) || !hasCertificate {
            cluster = ClusterKey(
                try SigningKey(seed: KeyFile.loadOrCreate(clusterPath, count: 32, entropy: &entropy)))
        }
        held = NIOLockedValueBox(cluster)
        server = try SigningKey(seed: KeyFile.loadOrCreate(directory + "/server.key", count: 32, entropy: &entropy))
        link = LinkKey(
            try X25519PrivateKey(KeyFile.loadOrCreate(directory + "/link.key", count: 32, entropy: &entropy)))
        var known: ServerCertificate?
        if hasCertificate, let bytes = FileManager.default.contents(atPath: certificatePath) {
            known = try? ServerCertificate(decoding: Array(bytes))
        }
        if let known, known.serverID == server.publicKey, known.expiry > now.seconds + NodeKeys.certificateRenewal {
            issued = NIOLockedValueBox(known)
        } else if let cluster {
            issued = NIOLockedValueBox(try NodeKeys.issue(server, cluster, now, certificatePath))
        } else if let known, known.serverID == server.publicKey, known.expiry > now.seconds {
            issued = NIOLockedValueBox(known)
        } else {
            throw NodeError.configuration(
                field: certificatePath, reason: "the certificate is over; put cluster.key back to issue another")
        }
    }

    private static func issue(
        _ server: borrowing SigningKey, _ cluster: ClusterKey, _ now: Timestamp, _ path: String
    ) throws -> ServerCertificate {
        let certificate = ServerCertificate(
            server: server.publicKey, expiry: now.seconds + certificateLifetime, cluster: cluster.key)
        do throws(DurableFile.Failure) { try DurableFile.write(certificate.encode(), to: path) } catch {
            throw NodeError.unreadable(path: path, reason: error.reason)
        }
        return certificate
    }

    /// Takes the cluster's key up when it has been put back, and gives it up when it has been taken away.
    /// - Returns: whether it is here now, when that is new.
    func lookForClusterKey() throws -> Bool? {
        guard FileManager.default.fileExists(atPath: clusterPath) else {
            return held.withLockedValue { key in
                defer { key = nil }
                return key == nil ? nil : false
            }
        }
        guard cluster == nil else { return nil }
        let found = ClusterKey(try SigningKey(seed: KeyFile.load(clusterPath, count: 32)))
        guard found.key.publicKey == certificate.clusterID else {
            throw NodeError.configuration(field: clusterPath, reason: "is the key of another cluster")
        }
        held.withLockedValue { $0 = found }
        return true
    }

    func status(at now: Timestamp) -> NodeStatus.Keys {
        let end = certificate.expiry
        return .init(
            hasClusterKey: cluster != nil, certificateEnd: end,
            certificateSecondsLeft: end - min(end, now.seconds))
    }

    /// Issues a new certificate when the present one is near its end and the cluster's key lies here.
    /// - Returns: how many days are left of a certificate that is near its end and could not be renewed.
    func renew(now: Timestamp) throws -> UInt64? {
        let expiry = certificate.expiry
        guard expiry <= now.seconds + NodeKeys.certificateRenewal else { return nil }
        guard let cluster else { return (expiry - min(expiry, now.seconds)) / Timestamp.secondsPerEpoch }
        let fresh = try NodeKeys.issue(server, cluster, now, certificatePath)
        issued.withLockedValue { $0 = fresh }
        return nil
    }

    /// What signs for the cluster, as of the present certificate.
    var signer: CertifiedSigner { CertifiedSigner(certificate: certificate) { self.server.sign($0) } }

    var nodeID: NodeID { Records.Node.id(of: server.publicKey) }
}
