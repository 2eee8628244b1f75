import Primitives
import Records
import Wire

/// That a cluster or server stood in an epoch's snapshot, as a file that anybody can check with nothing else at hand:
/// what it said of itself, its place in the tree, and who signed the root (specs/map.md, "Membership").
public struct SnapshotMembership: Hashable, Sendable {
    /// Why a file proves nothing.
    public enum Failure: Error, Equatable, Sendable {
        /// It does not begin like one.
        case notMembership
        /// A later version of the format.
        case unknownVersion(UInt8)
        /// The bytes do not follow the layout.
        case malformed(WireError)
        /// The descriptor is none, or was never valid.
        case descriptor(DescriptorError)
        /// The descriptor is of a version from which no leaf follows.
        case laterDescriptor
        /// A root, from 0, is none or not validly signed.
        case root(part: Int, SnapshotError)
        /// The roots are not of one snapshot, or not one of each cluster in order.
        case mixedRoots
        /// The path does not lead from the descriptor's leaf to the root.
        case notIncluded
    }

    public static let magic = Array("hulda-membership\n".utf8)
    private static let version: UInt8 = 1
    /// The most roots in a file: of every cluster that may speak.
    public static let rootLimit = SpeakerList.takenLimit
    /// Magic 17 ‖ version 1 ‖ descriptor behind its length 2 ‖ proof ‖ number of roots 2 ‖ roots.
    public static let sizeLimit =
        20 + Limits.descriptorSize + SnapshotProof.sizeLimit + 2 + rootLimit * SnapshotRoot.encodedSize

    private let descriptor: MapDescriptor
    /// The line of the snapshot that it is about.
    public let leaf: SnapshotLeaf
    public let proof: SnapshotProof
    /// Roots of one snapshot, of each cluster one, ascending by ClusterID; at least one.
    public let roots: [SnapshotRoot]
    public let epoch: UInt64
    public let statement: SnapshotComparison.Statement

    /// What the cluster said of itself, if the file is about one.
    public var cluster: ClusterDescriptor? {
        if case .cluster(let descriptor) = descriptor { descriptor } else { nil }
    }

    /// What the server said of itself, if the file is about one.
    public var server: ServerDescriptor? {
        if case .server(let descriptor) = descriptor { descriptor } else { nil }
    }

    init(_ descriptor: MapDescriptor, _ proof: SnapshotProof, _ roots: [SnapshotRoot]) throws(Failure) {
        guard let leaf = descriptor.leaf else { throw .laterDescriptor }
        guard let first = roots.first else { throw .malformed(.outOfRange(field: "roots")) }
        let isInOrder = zip(roots, roots.dropFirst()).allSatisfy { $0.clusterID < $1.clusterID }
        guard isInOrder, roots.allSatisfy(first.agrees) else { throw .mixedRoots }
        self.descriptor = descriptor
        self.leaf = leaf
        self.proof = proof
        self.roots = roots
        epoch = first.epoch
        statement = .init(root: first.root, count: first.count)
    }

    /// Reads a file; believe it only after ``verify()``.
    public init(decoding bytes: [UInt8]) throws(Failure) {
        guard bytes.starts(with: SnapshotMembership.magic) else { throw .notMembership }
        guard bytes.count <= SnapshotMembership.sizeLimit else {
            throw .malformed(.trailingBytes(bytes.count - SnapshotMembership.sizeLimit))
        }
        var reader = Reader(bytes.dropFirst(SnapshotMembership.magic.count))
        let (text, proof, encoded): ([UInt8], SnapshotProof, [[UInt8]])
        do throws(WireError) {
            (text, proof, encoded) = try SnapshotMembership.parts(&reader)
            try reader.finish()
        } catch {
            guard case .unknownKind(let version) = error else { throw .malformed(error) }
            throw .unknownVersion(version)
        }
        var roots: [SnapshotRoot] = []
        for (part, bytes) in encoded.enumerated() {
            do throws(SnapshotError) { roots.append(try SnapshotRoot(decoding: bytes)) } catch {
                throw .root(part: part, error)
            }
        }
        let descriptor: MapDescriptor
        do throws(DescriptorError) { descriptor = try MapDescriptor(decoding: text) } catch {
            throw .descriptor(error)
        }
        try self.init(descriptor, proof, roots)
    }

    /// Descriptor, proof and roots; ``WireError/unknownKind(_:)`` for another version.
    private static func parts(
        _ reader: inout Reader
    ) throws(WireError) -> (descriptor: [UInt8], SnapshotProof, roots: [[UInt8]]) {
        let version = try reader.uint8()
        guard version == SnapshotMembership.version else { throw .unknownKind(version) }
        let descriptor = try reader.prefixed(limit: Limits.descriptorSize, field: "descriptor")
        let proof = try SnapshotProof(&reader)
        let count = Int(try reader.uint16())
        guard (1...rootLimit).contains(count) else { throw .outOfRange(field: "roots") }
        var roots: [[UInt8]] = []
        for _ in 0..<count { roots.append(try reader.bytes(SnapshotRoot.encodedSize)) }
        return (descriptor, proof, roots)
    }

    public func encode() -> [UInt8] {
        var writer = Writer(capacity: 4096 + roots.count * SnapshotRoot.encodedSize)
        writer.append(SnapshotMembership.magic)
        writer.uint8(SnapshotMembership.version)
        writer.prefixed(descriptor.encode())
        writer.append(proof.encode())
        writer.uint16(UInt16(truncatingIfNeeded: roots.count))
        for root in roots { writer.append(root.encode()) }
        return writer.bytes
    }

    /// Checks the path and every signature; returns when the file proves what it says. Needs no clock, map or network.
    public func verify() throws(Failure) {
        guard proof.proves(leaf, root: statement.root, count: statement.count) else { throw .notIncluded }
        do throws(DescriptorError) { try descriptor.verifyOnce() } catch { throw .descriptor(error) }
        for (part, root) in roots.enumerated() {
            do throws(SnapshotError) { try root.verify() } catch { throw .root(part: part, error) }
        }
    }
}

extension MapDescriptor {
    /// The line that it has in snapshots; none for a server's of a later version.
    var leaf: SnapshotLeaf? {
        switch self {
        case .cluster(let cluster): .cluster(cluster.clusterID)
        case .server(let server): SnapshotLeaf(server)
        case .later: nil
        }
    }
}
