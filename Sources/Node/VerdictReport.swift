import Federation
import Logging

extension SnapshotComparison.Verdict {
    /// Logs what comparing an epoch's snapshot with other clusters' came to.
    func report(_ epoch: UInt64, _ logger: Logger) {
        let details: Logger.Metadata = ["epoch": "\(epoch)"]
        switch self {
        case .agreed: logger.info("other clusters hold the same map", metadata: details)
        case .contested: logger.warning("the clusters do not hold the same map", metadata: details)
        case .refused:
            logger.error("few clusters hold this map: somebody may hide servers from this node", metadata: details)
        case .undecided: break
        }
    }
}
