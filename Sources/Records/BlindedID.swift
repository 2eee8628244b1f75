import Primitives

/// An ID with the key under which its record is found and signed in one epoch (specs/directory.md, "Record"). Blinding
/// takes a multiplication on the curve, so it is done once for a lookup and not for each answer.
public struct BlindedID: Hashable, Sendable {
    public let id: NetworkID
    /// Days since 1970.
    public let epoch: UInt64
    /// `A' = b·A`
    public let key: VerifyingKey

    /// - Throws: ``RecordError/invalidKey`` if the ID is no point of the prime-order subgroup.
    public init(_ id: NetworkID, epoch: UInt64) throws(RecordError) {
        do throws(PrimitiveError) {
            key = try BlindingFactor(Domain("hulda/blind"), key: id.key, epoch: epoch).blind(id.key)
        } catch { throw .invalidKey }
        self.id = id
        self.epoch = epoch
    }
}
