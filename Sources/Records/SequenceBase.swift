import Primitives

/// From where the sequences of one key's records count in one epoch (specs/directory.md, "Sequence").
///
/// A sequence is this base plus the second of publication. The base looks random to everybody who cannot compute it, so
/// a holder cannot match the records of two days by their sequences, and does not learn from a copy when it was
/// published. Who knows the ID, or the name, computes the base and with it the age of the record. Nothing has to be
/// stored: a publisher whose store is of yesterday still counts on from where it was.
public struct SequenceBase: Hashable, Sendable {
    private let value: UInt64

    /// For records of a user.
    public init(user: VerifyingKey, epoch: UInt64) {
        self.init(keyed: user.bytes, Domain("hulda/dir-seq"), epoch)
    }

    /// For records of a name.
    init(label: Bytes32, epoch: UInt64) {
        self.init(keyed: label, Domain("hulda/name-seq"), epoch)
    }

    private init(keyed key: Bytes32, _ domain: Domain, _ epoch: UInt64) {
        var bytes = key.bytes
        let secret = SecretBytes(taking: &bytes)
        let derived = BLAKE2b.deriveKey(
            from: secret, domain, context: withUnsafeBytes(of: epoch.littleEndian) { Array($0) })
        // 62 bits, so that adding seconds does not overflow, and shows nothing of them but with probability 2^-30.
        value = derived.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }.littleEndian >> 2
    }

    /// The sequence of a record that is published at this second; saturates.
    public func sequence(at seconds: UInt64) -> UInt64 {
        let (sum, isTooLarge) = value.addingReportingOverflow(seconds)
        return isTooLarge ? .max : sum
    }

    /// The second at which a record of this sequence was published; 0 for a sequence that no publisher makes.
    public func seconds(of sequence: UInt64) -> UInt64 { sequence > value ? sequence - value : 0 }
}

extension BlindedID {
    /// From where the sequences of this epoch's records count.
    public var sequences: SequenceBase { SequenceBase(user: id.key, epoch: epoch) }
}

extension NameSecret {
    /// From where the sequences of the epoch's records count.
    public func sequences(epoch: UInt64) -> SequenceBase { SequenceBase(label: label, epoch: epoch) }
}
