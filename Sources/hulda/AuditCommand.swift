import ArgumentParser
import Directory
import Federation
import Glibc
import Records

/// `hulda audit`: checks that anybody can repeat, with nothing but a file.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Check proofs: that a cluster contradicted itself, and what the map was that clusters signed.",
        subcommands: [Evidence.self, Membership.self])

    struct Evidence: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a file of evidence: two signed statements that contradict each other.",
            discussion: """
                Nodes write such files into the folder evidence/ of their data directory. The check needs no network, \
                no map and no keys: the file holds all, and anybody comes to the same result. Hand it to operators \
                who endorse the cluster; they decide what follows. What each kind proves: specs/map.md, "Evidence".

                Exit codes: 0 the evidence holds, 65 it does not, 66 the file cannot be read.

                Example: hulda audit evidence /var/lib/hulda/evidence/rootsOfServer-5f0c….evidence
                """)

        @Argument(help: ArgumentHelp("The file.", valueName: "file"))
        var file: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let bytes = try AuditCommand.read(file, limit: EvidenceFile.sizeLimit)
                let report: Report
                do throws(Reason) { report = try AuditCommand.check(bytes) } catch {
                    throw Failure(
                        "\(file) proves nothing: \(error.text)",
                        next:
                            "Ask whoever gave it to you for the file as the node wrote it. It is no evidence against anybody.",
                        code: SysExit.data)
                }
                output.print(report) { "The evidence holds: \(report.text)" }
            }
        }
    }

    struct Report: Encodable {
        let holds = true
        let kind: String
        let subject: String
        let cluster: String
        /// For a person.
        let text: String

        enum CodingKeys: CodingKey { case holds, kind, subject, cluster }

        init(_ evidence: EquivocationEvidence) {
            kind = "\(evidence.kind)"
            subject = evidence.subject.bytes.hex
            cluster = evidence.clusterID.bytes.hex
            text = "\(evidence)"
        }

        init(_ evidence: SharedRandomEvidence) {
            kind = "\(evidence.kind)"
            subject = evidence.clusterID.bytes.hex
            cluster = subject
            text = "\(evidence)"
        }
    }

    /// Why a file proves nothing, in words.
    private struct Reason: Error { let text: String }

    private static func check(_ bytes: [UInt8]) throws(Reason) -> Report {
        let kind = (try? EvidenceFile(decoding: bytes))?.kind
        if kind.flatMap({ SharedRandomEvidence.Kind(rawValue: $0) }) != nil {
            do throws(SharedRandomEvidence.Failure) {
                let evidence = try SharedRandomEvidence(decoding: bytes)
                try evidence.verify()
                return Report(evidence)
            } catch { throw Reason(text: reason(error)) }
        }
        do throws(EvidenceError) {
            let evidence = try EquivocationEvidence(decoding: bytes)
            try evidence.verify()
            return Report(evidence)
        } catch { throw Reason(text: reason(error)) }
    }

    /// The file's bytes; none of one that is longer than its kind can be.
    static func read(_ path: String, limit: Int) throws -> [UInt8] {
        func failure(_ reason: Int32) -> Failure {
            Failure(
                "\(path) cannot be read: \(String(cString: strerror(reason)))",
                next: "Give the path of a file of that kind.", code: SysExit.noInput)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(errno) }
        defer { close(descriptor) }
        let (bytes, reason) = StandardStream.read(limit: limit + 1, from: descriptor)
        guard reason == 0 else { throw failure(reason) }
        return bytes.count <= limit ? bytes : []
    }

    private static func reason(_ error: SharedRandomEvidence.Failure) -> String {
        switch error {
        case .file(let failure): reason(EvidenceError(failure))
        case .otherKind: "it is not about a shared random value"
        case .malformed(let part, _): "statement \(part + 1) is no commitment and no vote"
        case .notSigned(let part): "statement \(part + 1) is not signed by a server that its cluster had certified then"
        case .unrelated: reason(EvidenceError.unrelated)
        case .sameStatement: reason(EvidenceError.sameStatement)
        }
    }

    private static func reason(_ error: EvidenceError) -> String {
        switch error {
        case .notEvidence: "it is not a file of evidence, or too long for one"
        case .unknownVersion(let version): "its format has version \(version), which this program does not know"
        case .malformed: "it is damaged or cut"
        case .root(let part, .wrongSignature), .descriptor(let part, .wrongSignature):
            "statement \(part + 1) is not signed by the key that it names"
        case .root(let part, .wrongCertificate), .descriptor(let part, .wrongCertificate):
            "the server's certificate in statement \(part + 1) is not signed by its cluster"
        case .root(let part, .certificateOver): "the certificate in statement \(part + 1) was over by then"
        case .root(let part, let error): "statement \(part + 1) is no snapshot root: \(error)"
        case .descriptor(let part, .expired), .descriptor(let part, .lastsTooLong):
            "the descriptor in statement \(part + 1) was never valid"
        case .descriptor(let part, let error): "statement \(part + 1) is no descriptor: \(error)"
        case .unrelated: "its statements have different signers, days or sequences, so they may both be true"
        case .sameStatement: "both statements say the same"
        case .wrongOrder: "its statements stand in the wrong order"
        }
    }
}
