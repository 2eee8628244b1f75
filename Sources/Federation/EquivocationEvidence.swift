import Primitives
import Records
import Wire

/// Why a file proves nothing.
public enum EvidenceError: Error, Equatable, Sendable {
    /// It does not begin like an evidence file.
    case notEvidence
    /// A later version of the format.
    case unknownVersion(UInt8)
    /// The bytes do not follow the layout.
    case malformed(WireError)
    /// One of the two statements (0 or 1) is not validly signed, or not of the kind that the file says.
    case root(part: Int, SnapshotError)
    case descriptor(part: Int, DescriptorError)
    /// Different signers, epochs or sequences: no contradiction.
    case unrelated
    /// Both statements say the same.
    case sameStatement
    /// The statements stand in the wrong order: one contradiction has one file.
    case wrongOrder

    public init(_ failure: EvidenceFile.Failure) {
        self =
            switch failure {
            case .notEvidence: .notEvidence
            case .unknownVersion(let version): .unknownVersion(version)
            case .malformed(let error): .malformed(error)
            case .sameStatement: .sameStatement
            case .wrongOrder: .wrongOrder
            }
    }
}

/// Two validly signed statements that contradict each other, as a file that anybody can check with nothing else at
/// hand (specs/map.md, "Evidence").
public struct EquivocationEvidence: Hashable, Sendable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Two snapshot roots of one epoch by one server: proves that it lied to somebody.
        case rootsOfServer = 1
        /// Two snapshot roots of one epoch by two servers of one cluster: the cluster speaks with two tongues. A lie,
        /// or servers that had lost sight of each other.
        case rootsOfCluster = 2
        /// Two descriptors of one sequence by one cluster.
        case clusterDescriptors = 3
        /// Two descriptors of one sequence by one server.
        case serverDescriptors = 4
    }

    public let kind: Kind
    /// The two statements as their signers encoded them, ascending as bytes.
    public let first: [UInt8]
    public let second: [UInt8]
    /// Whose key signed both; for ``Kind/rootsOfCluster`` the cluster's, under whose certificates they were signed.
    public let subject: VerifyingKey
    public let clusterID: VerifyingKey

    /// Evidence from two roots that are known to be validly signed.
    /// - Throws: ``EvidenceError/unrelated`` or ``EvidenceError/sameStatement`` when they do not contradict each other.
    public init(_ one: SnapshotRoot, _ other: SnapshotRoot) throws(EvidenceError) {
        try self.init(one.serverID == other.serverID ? .rootsOfServer : .rootsOfCluster, one.encode(), other.encode())
    }

    /// Evidence from two descriptors that are known to be validly signed.
    init(_ one: MapDescriptor, _ other: MapDescriptor) throws(EvidenceError) {
        let kind: Kind
        switch (one, other) {
        case (.cluster, .cluster): kind = .clusterDescriptors
        case (.server, .server): kind = .serverDescriptors
        default: throw .unrelated
        }
        try self.init(kind, one.encode(), other.encode())
    }

    private init(_ kind: Kind, _ one: [UInt8], _ other: [UInt8]) throws(EvidenceError) {
        self.kind = kind
        (first, second) = one.lexicographicallyPrecedes(other) ? (one, other) : (other, one)
        (subject, clusterID) = try EquivocationEvidence.subject(kind, first, second)
    }

    /// Reads a file; believe it only after ``verify()``.
    public init(decoding bytes: [UInt8]) throws(EvidenceError) {
        let file: EvidenceFile
        do throws(EvidenceFile.Failure) { file = try EvidenceFile(decoding: bytes) } catch {
            throw EvidenceError(error)
        }
        guard let kind = Kind(rawValue: file.kind) else { throw .malformed(.unknownKind(file.kind)) }
        self.kind = kind
        (first, second) = (file.first, file.second)
        (subject, clusterID) = try EquivocationEvidence.subject(kind, first, second)
    }

    /// `kind-key.evidence`, with the key of whoever contradicts himself in hexadecimal: one contradiction has one file.
    public var fileName: String { "\(kind)-\(subject.bytes.hex).evidence" }

    public func encode() -> [UInt8] { EvidenceFile(kind: kind.rawValue, first, second).encode() }

    /// Checks every signature; returns when the file proves what it says. Needs no clock, map or network.
    public func verify() throws(EvidenceError) {
        for (part, bytes) in [first, second].enumerated() {
            switch kind {
            case .rootsOfServer, .rootsOfCluster:
                let root = try EquivocationEvidence.root(part, bytes)
                do throws(SnapshotError) { try root.verify() } catch { throw .root(part: part, error) }
            case .clusterDescriptors, .serverDescriptors:
                let descriptor = try EquivocationEvidence.descriptor(part, bytes)
                do throws(DescriptorError) {
                    try descriptor.verifyOnce()
                } catch { throw .descriptor(part: part, error) }
            }
        }
    }

    // MARK: Contradiction

    /// Who contradicts himself, if the two statements contradict each other; signatures are not looked at.
    private static func subject(
        _ kind: Kind, _ first: [UInt8], _ second: [UInt8]
    ) throws(EvidenceError) -> (VerifyingKey, cluster: VerifyingKey) {
        switch kind {
        case .rootsOfServer, .rootsOfCluster:
            let one = try root(0, first)
            let other = try root(1, second)
            let isOneServer = one.serverID == other.serverID
            guard one.clusterID == other.clusterID, one.epoch == other.epoch, isOneServer == (kind == .rootsOfServer)
            else { throw .unrelated }
            guard !one.agrees(with: other) else { throw .sameStatement }
            return (isOneServer ? one.serverID : one.clusterID, one.clusterID)
        case .clusterDescriptors, .serverDescriptors:
            let one = try descriptor(0, first)
            let other = try descriptor(1, second)
            guard one.sequence == other.sequence else { throw .unrelated }
            // Two signatures of one text are no contradiction.
            let isSame = first.dropLast(Bytes64.count) == second.dropLast(Bytes64.count)
            switch (kind, one, other) {
            case (.clusterDescriptors, .cluster(let one), .cluster(let other)) where one.clusterID == other.clusterID:
                guard !isSame else { throw .sameStatement }
                return (one.clusterID, one.clusterID)
            case (.serverDescriptors, .server(let one), .server(let other)) where one.serverID == other.serverID:
                guard !isSame else { throw .sameStatement }
                return (one.serverID, one.clusterID)
            default: throw .unrelated
            }
        }
    }

    private static func root(_ part: Int, _ bytes: [UInt8]) throws(EvidenceError) -> SnapshotRoot {
        do throws(SnapshotError) { return try SnapshotRoot(decoding: bytes) } catch { throw .root(part: part, error) }
    }

    private static func descriptor(_ part: Int, _ bytes: [UInt8]) throws(EvidenceError) -> MapDescriptor {
        do throws(DescriptorError) {
            return try MapDescriptor(decoding: bytes)
        } catch { throw .descriptor(part: part, error) }
    }
}

extension EquivocationEvidence: CustomStringConvertible {
    /// What the file says, in lines for a person.
    public var description: String {
        let place = "cluster \(clusterID.bytes.hex)"
        switch kind {
        case .rootsOfServer:
            return "server \(subject.bytes.hex)\n  of \(place)\n  signed two different snapshot roots of one epoch:\n"
                + roots()
        case .rootsOfCluster:
            return "two servers of \(place)\n  signed different snapshot roots of one epoch:\n" + roots()
        case .clusterDescriptors:
            return "\(place)\n  signed two different descriptors of one sequence:\n" + descriptors()
        case .serverDescriptors:
            return "server \(subject.bytes.hex)\n  of \(place)\n  signed two different descriptors of one sequence:\n"
                + descriptors()
        }
    }

    private func roots() -> String {
        [first, second].compactMap { try? SnapshotRoot(decoding: $0) }
            .map { "  epoch \($0.epoch)  root \($0.root.hex)  \($0.count) leaves  server \($0.serverID.bytes.hex)" }
            .joined(separator: "\n")
    }

    private func descriptors() -> String {
        [first, second].compactMap { bytes in
            guard let sequence = (try? MapDescriptor(decoding: bytes))?.sequence else { return nil }
            let digest = BLAKE2b.h(Domain("hulda/evidence"), bytes).hex.prefix(16)
            return "  sequence \(sequence)  \(bytes.count) bytes, hash \(digest)"
        }.joined(separator: "\n")
    }
}
