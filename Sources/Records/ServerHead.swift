import Primitives
import Wire

/// What a server's descriptor of every version has in the same place, after kind and version: ClusterID 32 ‖ ServerID 32 ‖
/// sequence 8 ‖ expiry 8 ‖ the certificate's expiry 8 and signature 64 (specs/map.md, "Versions").
struct ServerHead {
    let certificate: ServerCertificate
    let sequence: UInt64
    /// Seconds since 1970.
    let expiry: UInt64

    init(_ reader: inout Reader) throws(WireError) {
        let cluster = VerifyingKey(try reader.fixed())
        let server = VerifyingKey(try reader.fixed())
        sequence = try reader.uint64()
        expiry = try reader.uint64()
        certificate = ServerCertificate(
            clusterID: cluster, serverID: server, expiry: try reader.uint64(),
            signature: Signature(try reader.fixed()))
    }
}
