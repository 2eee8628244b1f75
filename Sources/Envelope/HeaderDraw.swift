import Primitives

/// The random part of a header: drawn by a sender, given by the vectors.
struct HeaderDraw: ~Copyable {
    /// Each hop's ephemeral private key, 32 bytes each, first hop first.
    let ephemerals: SecretBytes
    /// What follows the last hop's routing block.
    let padding: [UInt8]

    init(ephemerals: consuming SecretBytes, padding: [UInt8]) {
        self.ephemerals = ephemerals
        self.padding = padding
    }

    /// - Throws: ``EnvelopeError/pathLength(_:)``
    init(hops count: Int, _ entropy: inout Entropy) throws(EnvelopeError) {
        guard (1...Geometry.hops).contains(count) else { throw .pathLength(count) }
        var ephemerals = SecretBytes(count: count * 32)
        ephemerals.withUnsafeMutableBytes { entropy.fill($0) }
        self.init(ephemerals: ephemerals, padding: entropy.array(HeaderDraw.paddingSize(hops: count)))
    }

    /// Bytes between the last hop's routing block and the filler: none on the longest path.
    static func paddingSize(hops count: Int) -> Int {
        Geometry.betaSize - Geometry.routingSize - (count - 1) * Geometry.shift
    }

    func fits(hops count: Int) -> Bool {
        (1...Geometry.hops).contains(count) && ephemerals.count == count * 32
            && padding.count == HeaderDraw.paddingSize(hops: count)
    }
}
