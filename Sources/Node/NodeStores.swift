import Federation
import FoundationEssentials
import Home
import LMDB
import Logging
import Storage
import Transport

/// A node's two stores as they were found at its start, and what follows from that (specs/overview.md, "Damage").
struct NodeStores {
    let environment: LMDBEnvironment
    let journal: LMDBEnvironment
    /// What is missing, for the operator.
    let findings: [String]
    /// Whether tags of envelopes may be lost: with the keys of before, a recorded envelope would be taken again.
    let needsNewMixKeys: Bool
    /// Whether what this server signed today may be lost: it signs nothing more for the shared value until tomorrow.
    let isSilent: Bool

    /// Opens both, for this process alone.
    static func open(_ configuration: NodeConfiguration, _ logger: Logger) throws(NodeError) -> NodeStores {
        let directory = configuration.dataDirectory
        let hasRunBefore = FileManager.default.fileExists(atPath: directory + "/server.key")
        do throws(StorageError) {
            let environment = try LMDBEnvironment(
                path: directory + "/store", mapSize: configuration.storeMiB << 20, tables: CoreOwner.tables)
            // A journal of which nothing is left costs the day's mix keys, and nothing else.
            let journal = try LMDBEnvironment(
                path: directory + "/replay", mapSize: max(64, configuration.storeMiB) << 20,
                tables: [ReplayJournal.table], refuses: false)
            let stores = NodeStores(environment, journal, hasRunBefore: hasRunBefore)
            for finding in stores.findings { logger.error("\(finding)") }
            return stores
        } catch {
            switch error {
            case .unavailable(let reason) where reason.contains("in use by"): throw .inUse(path: directory)
            case .corrupt(let reason): throw .damagedStore(path: directory, reason: reason)
            default: throw .storage(path: directory, reason: "\(error)")
            }
        }
    }

    private init(_ environment: LMDBEnvironment, _ journal: LMDBEnvironment, hasRunBefore: Bool) {
        self.environment = environment
        self.journal = journal
        var findings: [String] = []
        var isSilent = false
        switch environment.origin {
        case .asLeft: break
        case .new:
            guard hasRunBefore else { break }
            isSilent = true
            findings.append(
                "there are keys of this server and its store was missing or empty: it begins with an empty one. Accounts, "
                    + "waiting messages and records of before are gone, unless you stop it and restore the folder store"
            )
        case .salvaged(let damage):
            isSilent = damage.concerns("shared/rounds")
            findings.append(
                "the store was damaged; what was left of it is in use. Lost: \(damage.losses). The damaged file is kept: "
                    + "\(damage.file) (\(damage.problems.first ?? "")). Check the disk")
        }
        switch journal.origin {
        case .asLeft: needsNewMixKeys = false
        case .new:
            needsNewMixKeys = true
            if hasRunBefore {
                findings.append(
                    "the journal of envelopes was missing or empty: the mix keys are made anew, so that no recorded envelope "
                        + "is taken again. Envelopes that are on their way through this server are lost")
            }
        case .salvaged(let damage):
            needsNewMixKeys = damage.concerns(ReplayJournal.table.name)
            findings.append(
                "the journal of envelopes was damaged; lost: \(damage.losses)."
                    + (needsNewMixKeys
                        ? " The mix keys are made anew, so that no recorded envelope is taken again." : "")
                    + " The damaged file is kept: \(damage.file). Check the disk")
        }
        self.findings = findings
        self.isSilent = isSilent && hasRunBefore
    }

    /// Makes both stores in a new data directory.
    static func create(_ configuration: NodeConfiguration) throws(NodeError) {
        let stores = try open(configuration, Logger(label: "node", factory: { _ in SwiftLogNoOpLogHandler() }))
        // Keys that lie there already belong to a store that is gone: the first run is to say so.
        guard stores.findings.isEmpty else { return }
        try stores.acknowledge(\.environment)
        try stores.acknowledge(\.journal)
    }

    /// What had to be done about one store is done.
    func acknowledge(_ store: KeyPath<NodeStores, LMDBEnvironment>) throws(NodeError) {
        do throws(StorageError) { try self[keyPath: store].acknowledgeOrigin() } catch {
            throw .storage(path: "the data directory", reason: "\(error)")
        }
    }
}
