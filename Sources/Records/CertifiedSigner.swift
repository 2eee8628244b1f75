import Primitives

/// A server's means to speak for its cluster, whose key may be kept offline: its certificate, and a way to sign that
/// keeps the server's key where it is.
public struct CertifiedSigner: Sendable {
    public let certificate: ServerCertificate
    public let sign: @Sendable ([UInt8]) -> Signature

    public init(certificate: ServerCertificate, sign: @escaping @Sendable ([UInt8]) -> Signature) {
        self.certificate = certificate
        self.sign = sign
    }
}
