import Wire

/// Why a descriptor or certificate is not believed.
public enum DescriptorError: Error, Equatable, Sendable {
    /// The bytes do not follow the layout.
    case malformed(WireError)
    /// More than ``Limits/descriptorSize`` bytes.
    case oversize(Int)
    /// The descriptor's own signature does not fit.
    case wrongSignature
    /// The cluster's signature on the server's certificate does not fit.
    case wrongCertificate
    /// Its time, or its certificate's, is over.
    case expired
    /// It claims to last longer than a descriptor may (specs/map.md, "Lifetimes").
    case lastsTooLong
    /// The signing key handed in is not the one that the content names.
    case foreignKey
}

/// How long descriptors may last, in seconds (specs/map.md, "Lifetimes").
public enum DescriptorLifetime {
    /// Of a server's: two epochs of announced mix keys and a day of grace.
    public static let server: UInt64 = 4 * 86_400
    /// Of a cluster's, whose key may be offline.
    public static let cluster: UInt64 = 400 * 86_400
    /// Clocks may differ by this much.
    public static let clockSkew: UInt64 = 600

    static func check(expiry: UInt64, longest: UInt64, at now: Timestamp) throws(DescriptorError) {
        guard expiry > now.seconds else { throw .expired }
        guard expiry - now.seconds <= longest + clockSkew else { throw .lastsTooLong }
    }
}
