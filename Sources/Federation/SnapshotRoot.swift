import Primitives
import Records
import Wire

/// Why a snapshot root is not believed.
public enum SnapshotError: Error, Equatable, Sendable {
    /// The bytes do not follow the layout.
    case malformed(WireError)
    /// The server's signature does not fit.
    case wrongSignature
    /// The cluster's signature on the server's certificate does not fit.
    case wrongCertificate
    /// The certificate was over when the epoch began.
    case certificateOver
    /// Neither the current nor the last epoch.
    case epochFarOff(UInt64)
    /// The key handed in is not the one that the certificate names.
    case foreignKey
}

/// A server's word, in its cluster's name, on who belongs to the network in an epoch (specs/map.md, "Snapshots").
///
/// The server's key signs, under its certificate, because the cluster's key may be kept offline.
public struct SnapshotRoot: Hashable, Sendable {
    /// Version 1 ‖ epoch 8 ‖ root 32 ‖ count 4 ‖ certificate 137 ‖ signature 64.
    public static let encodedSize = 246
    /// The most leaves of a snapshot.
    public static let countLimit: UInt32 = 1 << 20
    /// The highest epoch that can be written: keeps its first second within 64 bits.
    public static let epochLimit: UInt64 = 1 << 32
    private static let version: UInt8 = 1

    public let epoch: UInt64
    public let root: Bytes32
    /// Leaves in the tree.
    public let count: UInt32
    public let certificate: ServerCertificate
    public let signature: Signature

    public var clusterID: VerifyingKey { certificate.clusterID }
    public var serverID: VerifyingKey { certificate.serverID }

    /// Signs a root.
    /// - Parameter sign: signs with the key that the certificate names.
    public init(
        epoch: UInt64, root: Bytes32, count: UInt32, certificate: ServerCertificate, sign: ([UInt8]) -> Signature
    ) throws(SnapshotError) {
        guard (1...SnapshotRoot.countLimit).contains(count) else { throw .malformed(.outOfRange(field: "count")) }
        guard epoch < SnapshotRoot.epochLimit else { throw .malformed(.outOfRange(field: "epoch")) }
        self.epoch = epoch
        self.root = root
        self.count = count
        self.certificate = certificate
        let digest = SnapshotRoot.digest(SnapshotRoot.unsignedBytes(epoch, root, count, certificate))
        signature = sign(digest)
        guard certificate.serverID.isValid(signature, for: digest) else { throw .foreignKey }
    }

    /// Reads the layout; believe it only after ``verify()``.
    public init(decoding bytes: [UInt8]) throws(SnapshotError) {
        do throws(WireError) {
            guard bytes.count <= SnapshotRoot.encodedSize else {
                throw .trailingBytes(bytes.count - SnapshotRoot.encodedSize)
            }
            var reader = Reader(bytes)
            let version = try reader.uint8()
            guard version == SnapshotRoot.version else { throw .unknownKind(version) }
            epoch = try reader.uint64()
            guard epoch < SnapshotRoot.epochLimit else { throw .outOfRange(field: "epoch") }
            root = try reader.fixed()
            count = try reader.uint32()
            guard (1...SnapshotRoot.countLimit).contains(count) else { throw .outOfRange(field: "count") }
            certificate = try ServerCertificate(decoding: try reader.bytes(ServerCertificate.encodedSize))
            signature = Signature(try reader.fixed())
            try reader.finish()
        } catch { throw .malformed(error) }
    }

    public func encode() -> [UInt8] {
        SnapshotRoot.unsignedBytes(epoch, root, count, certificate) + signature.bytes.bytes
    }

    /// Checks both signatures, and that the certificate held when the epoch began. Needs no clock, so that the answer
    /// is the same for ever.
    public func verify() throws(SnapshotError) {
        do throws(DescriptorError) {
            try certificate.verify(at: Timestamp(seconds: epoch * Timestamp.secondsPerEpoch))
        } catch {
            throw error == .expired ? .certificateOver : .wrongCertificate
        }
        let digest = SnapshotRoot.digest(SnapshotRoot.unsignedBytes(epoch, root, count, certificate))
        guard serverID.isValid(signature, for: digest) else { throw .wrongSignature }
    }

    /// Checks that the epoch is the current or the last one, as far as clocks may differ.
    public func checkEpoch(at now: Timestamp) throws(SnapshotError) {
        guard !isAhead(of: now), epoch >= SnapshotRoot.oldestEpoch(at: now) else { throw .epochFarOff(epoch) }
    }

    /// Whether it is of an epoch that has not begun for anybody.
    func isAhead(of now: Timestamp) -> Bool { epoch > now.adding(seconds: DescriptorLifetime.clockSkew).epoch }

    /// The last epoch.
    static func oldestEpoch(at now: Timestamp) -> UInt64 { now.epoch > 0 ? now.epoch - 1 : 0 }

    /// Whether both say the same of the network, whoever signed.
    public func agrees(with other: SnapshotRoot) -> Bool {
        epoch == other.epoch && root == other.root && count == other.count
    }

    /// What the server signs: `H("hulda/snap-root", everything before the signature)`.
    private static func digest(_ unsigned: [UInt8]) -> [UInt8] {
        BLAKE2b.h(Domain("hulda/snap-root"), unsigned).bytes
    }

    private static func unsignedBytes(
        _ epoch: UInt64, _ root: Bytes32, _ count: UInt32, _ certificate: ServerCertificate
    ) -> [UInt8] {
        var writer = Writer(capacity: encodedSize)
        writer.uint8(version)
        writer.uint64(epoch)
        writer.fixed(root)
        writer.uint32(count)
        writer.append(certificate.encode())
        return writer.bytes
    }
}
