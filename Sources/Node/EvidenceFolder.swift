import Federation
import FoundationEssentials
import Logging
import Transport

/// The folder of files that prove that somebody contradicted himself (specs/map.md, "Evidence").
///
/// The store bounds their number; a file is written once and never changed.
struct EvidenceFolder: Sendable {
    let path: String

    /// `kind-key.evidence`, with the key of whoever contradicts himself in hexadecimal.
    static func name(_ evidence: EquivocationEvidence) -> String {
        "\(evidence.kind)-\(evidence.subject.bytes.hex).evidence"
    }

    /// Writes the file unless it is there already; failing to is logged, since the store has it.
    func write(_ evidence: EquivocationEvidence, _ logger: Logger) {
        let file = path + "/" + EvidenceFolder.name(evidence)
        guard !FileManager.default.fileExists(atPath: file) else { return }
        do {
            try NodeFiles.makeDirectory(path)
            try Data(evidence.encode()).write(to: URL(fileURLWithPath: file), options: .atomic)
            logger.warning(
                "somebody contradicted himself; check it with: hulda audit evidence FILE", metadata: ["file": "\(file)"]
            )
        } catch {
            logger.error("evidence could not be written to \(file): \(FileFailure.reason(error))")
        }
    }

    /// Logs what comparing an epoch's snapshot with other clusters' came to.
    static func report(_ verdict: SnapshotComparison.Verdict, _ epoch: UInt64, _ logger: Logger) {
        let details: Logger.Metadata = ["epoch": "\(epoch)"]
        switch verdict {
        case .agreed: logger.info("other clusters hold the same map", metadata: details)
        case .contested: logger.warning("the clusters do not hold the same map", metadata: details)
        case .refused:
            logger.error("few clusters hold this map: somebody may hide servers from this node", metadata: details)
        case .undecided: break
        }
    }
}
