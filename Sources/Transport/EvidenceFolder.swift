import FoundationEssentials
import Logging

/// The folder of files that prove that somebody contradicted himself (specs/map.md, "Evidence").
///
/// The store bounds their number; a file is written once and never changed.
public struct EvidenceFolder: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// Writes the file unless it is there already; failing to is logged, since the store has it.
    public func write(_ name: String, _ evidence: [UInt8], _ logger: Logger) {
        let file = path + "/" + name
        guard !FileManager.default.fileExists(atPath: file) else { return }
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try DurableFile.write(evidence, to: file)
            logger.warning(
                "somebody contradicted himself; check it with: hulda audit evidence FILE", metadata: ["file": "\(file)"]
            )
        } catch let failure as DurableFile.Failure {
            logger.error("evidence could not be written to \(failure)")
        } catch {
            logger.error("evidence could not be written to \(file): \(FileFailure.reason(error))")
        }
    }
}
