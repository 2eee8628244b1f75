import Primitives
import Records
import Wire

extension SharedRandom {
    /// A participant's word that it took a message in time (specs/directory.md, "Rounds").
    public struct Witness: Hashable, Sendable {
        public let certificate: ServerCertificate
        public let signature: Signature

        public var participant: VerifyingKey { certificate.clusterID }

        /// Certificate 137 ‖ signature 64.
        static let encodedSize = ServerCertificate.encodedSize + 64
    }

    /// A message with the signatures of the participants who took it late.
    public struct Witnessed: Hashable, Sendable {
        public let message: Message
        /// Of different participants and not of the message's own, ascending.
        public private(set) var witnesses: [Witness] = []

        public init(_ message: Message) { self.message = message }

        /// Signatures of different participants: the first is the message itself.
        var signatures: Int { witnesses.count + 1 }

        /// The most witnesses that are of any use: of ``SharedRandom/most`` participants.
        static let limit = (SharedRandom.most - 1) / 3
    }
}

extension SharedRandom.Witnessed {
    /// What a witness signs: `H("hulda/srv-seen", kind 1 ‖ epoch 8 ‖ ClusterID 32 ‖ content 32)`.
    var digest: [UInt8] {
        var writer = Writer(capacity: 73)
        writer.uint8(message.kind.rawValue)
        writer.uint64(message.epoch)
        writer.fixed(message.participant.bytes)
        writer.fixed(message.content)
        return BLAKE2b.h(Domain("hulda/srv-seen"), writer.bytes).bytes
    }

    /// Adds a participant's own signature, unless its cluster has signed already.
    package mutating func sign(by signer: CertifiedSigner) {
        let cluster = signer.certificate.clusterID
        guard cluster != message.participant, witnesses.allSatisfy({ $0.participant != cluster }) else { return }
        let witness = SharedRandom.Witness(certificate: signer.certificate, signature: signer.sign(digest))
        witnesses.insert(witness, at: witnesses.firstIndex { cluster < $0.participant } ?? witnesses.endIndex)
    }

    /// Whether each witness has signed, under a certificate that held when the epoch of the exchange began.
    var isWitnessed: Bool {
        guard !witnesses.isEmpty else { return true }
        let digest = digest
        return witnesses.allSatisfy {
            $0.certificate.serverID.isValid($0.signature, for: digest)
                && SharedRandom.isCertified($0.certificate, for: message.epoch)
        }
    }

    /// The message ‖ when there are witnesses: count 1 ‖ witnesses, ascending.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = Reader(bytes)
        let message = try SharedRandom.Message(&reader)
        self.message = message
        guard reader.remaining > 0 else { return }
        let count = Int(try reader.uint8())
        guard message.kind != .vote, count > 0, count <= SharedRandom.Witnessed.limit else {
            throw .outOfRange(field: "witnesses")
        }
        for _ in 0..<count { witnesses.append(try SharedRandom.Witness(&reader)) }
        try reader.finish()
        let names = witnesses.map(\.participant)
        guard !names.contains(message.participant), zip(names, names.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw .outOfRange(field: "witnesses")
        }
    }

    public func encode() -> [UInt8] {
        guard !witnesses.isEmpty else { return message.encode() }
        var writer = Writer(
            capacity: SharedRandom.messageSize + 1 + witnesses.count * SharedRandom.Witness.encodedSize)
        writer.append(message.encode())
        writer.uint8(UInt8(truncatingIfNeeded: witnesses.count))
        for witness in witnesses {
            writer.append(witness.certificate.encode())
            writer.fixed(witness.signature.bytes)
        }
        return writer.bytes
    }
}

extension SharedRandom.Witness {
    fileprivate init(_ reader: inout Reader) throws(WireError) {
        certificate = try ServerCertificate(decoding: try reader.bytes(ServerCertificate.encodedSize))
        signature = Signature(try reader.fixed())
    }
}
