import Primitives
import Records
import Wire

/// Two validly signed commitments or votes of one cluster for one epoch's shared random value, which differ: proof that
/// it said one thing to some and another to others, or that its servers did (specs/map.md, "Evidence").
public struct SharedRandomEvidence: Hashable, Sendable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Numbers after those of contradictions about the map.
        case commitments = 5
        case votes = 6
    }

    /// Why a file proves nothing.
    public enum Failure: Error, Equatable, Sendable {
        case file(EvidenceFile.Failure)
        /// It is a file of evidence of something else.
        case otherKind(UInt8)
        /// A statement (0 or 1) does not follow its layout.
        case malformed(part: Int, WireError)
        /// A statement is not signed by the server that it names, or that server not certified by its cluster then.
        case notSigned(part: Int)
        /// Different clusters, epochs or kinds: no contradiction.
        case unrelated
        /// Both say the same.
        case sameStatement
    }

    public let kind: Kind
    public let clusterID: VerifyingKey
    /// The epoch of the value.
    public let epoch: UInt64
    private let file: EvidenceFile
    private let statements: [SharedRandom.Message]

    /// Evidence from two messages that are known to be validly signed.
    init(_ one: SharedRandom.Message, _ other: SharedRandom.Message) throws(Failure) {
        let kind: Kind
        switch one.kind {
        case .commit: kind = .commitments
        case .vote: kind = .votes
        case .reveal: throw .unrelated
        }
        try self.init(EvidenceFile(kind: kind.rawValue, one.encode(), other.encode()))
    }

    /// Reads a file; believe it only after ``verify()``.
    public init(decoding bytes: [UInt8]) throws(Failure) {
        let file: EvidenceFile
        do throws(EvidenceFile.Failure) { file = try EvidenceFile(decoding: bytes) } catch { throw .file(error) }
        try self.init(file)
    }

    private init(_ file: EvidenceFile) throws(Failure) {
        guard let kind = Kind(rawValue: file.kind) else { throw .otherKind(file.kind) }
        let one = try SharedRandomEvidence.statement(0, file.first)
        let other = try SharedRandomEvidence.statement(1, file.second)
        let wanted: SharedRandom.Message.Kind = kind == .commitments ? .commit : .vote
        guard one.kind == wanted, other.kind == wanted, one.participant == other.participant, one.epoch == other.epoch
        else { throw .unrelated }
        // Two signatures of one text, or two servers that agree, are no contradiction.
        guard one.content != other.content else { throw .sameStatement }
        self.file = file
        self.kind = kind
        clusterID = one.participant
        epoch = one.epoch
        statements = [one, other]
    }

    private static func statement(_ part: Int, _ bytes: [UInt8]) throws(Failure) -> SharedRandom.Message {
        do throws(WireError) {
            return try SharedRandom.Message(decoding: bytes)
        } catch { throw .malformed(part: part, error) }
    }

    /// `kind-epoch-key.evidence`, with the cluster's key in hexadecimal: one contradiction has one file.
    public var fileName: String { "\(kind)-\(epoch)-\(clusterID.bytes.hex).evidence" }

    public func encode() -> [UInt8] { file.encode() }

    /// Checks every signature; returns when the file proves what it says. Needs no clock, map or network.
    public func verify() throws(Failure) {
        for (part, statement) in statements.enumerated() where !statement.isSigned { throw .notSigned(part: part) }
    }
}

extension SharedRandomEvidence: CustomStringConvertible {
    /// What the file says, in lines for a person.
    public var description: String {
        let what = kind == .commitments ? "commitments to" : "votes on"
        return
            ([
                "cluster \(clusterID.bytes.hex)\n  signed two different \(what) the shared random value of epoch \(epoch):"
            ]
            + statements.map { "  \($0.content.hex)" }).joined(separator: "\n")
    }
}
