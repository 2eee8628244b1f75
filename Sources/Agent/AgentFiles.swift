import Federation
import FoundationEssentials
import Glibc
import LMDB
import Primitives
import Records
import Storage
import Transport

/// Where an agent keeps what.
struct AgentFiles {
    let directory: String

    var identityPath: String { directory + "/identity.json" }
    /// The network ID in plain text: it is public.
    var idPath: String { directory + "/id.txt" }
    /// The friendly addresses in plain text, one a line: they are public too.
    var namesPath: String { directory + "/names.txt" }
    /// The agent's copy of its bootstrap list.
    var bootstrapPath: String { directory + "/bootstrap.txt" }
    /// Files that prove that a cluster or server contradicted itself.
    var evidencePath: String { directory + "/evidence" }
    var storePath: String { directory + "/store" }
    /// There from the beginning of `id new` to its end: what else is there then is no identity.
    var unfinishedPath: String { directory + "/unfinished" }

    static let mapSize = 1 << 30

    var exists: Bool { FileManager.default.fileExists(atPath: identityPath) }

    func makeDirectory() throws(AgentFailure) {
        do {
            try Exposure.makeFolder(directory)
        } catch let exposure as Exposure {
            throw .exposed(exposure)
        } catch {
            throw .storage(directory: directory, reason: FileFailure.reason(error))
        }
    }

    func readIdentity() throws(AgentFailure) -> IdentityFile {
        guard exists else { throw .noIdentity(directory: directory) }
        if let exposure = Exposure.ofFolder(directory) ?? Exposure.ofFile(identityPath) { throw .exposed(exposure) }
        guard let data = FileManager.default.contents(atPath: identityPath) else {
            throw .storage(directory: directory, reason: "the identity file cannot be read")
        }
        guard let file = try? JSONDecoder().decode(IdentityFile.self, from: data) else {
            throw .damaged("the identity file is not JSON of this version")
        }
        return file
    }

    func readID() throws(AgentFailure) -> NetworkID {
        guard exists else { throw .noIdentity(directory: directory) }
        guard let text = try? String(contentsOfFile: idPath, encoding: .utf8),
            let id = try? NetworkID(text: text.filter { !$0.isWhitespace })
        else { throw .damaged("id.txt is missing or changed") }
        return id
    }

    func readNames() throws(AgentFailure) -> [String] {
        guard exists else { throw .noIdentity(directory: directory) }
        guard let text = try? String(contentsOfFile: namesPath, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").map(String.init)
    }

    /// Writes with mode 0600; replaces the file as a whole or not at all.
    func write(_ text: String, to path: String) throws(AgentFailure) {
        do throws(DurableFile.Failure) { try DurableFile.write(text, to: path) } catch {
            throw .storage(directory: directory, reason: error.reason)
        }
    }

    static func bootstrap(_ path: String) throws(AgentFailure) -> BootstrapList {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw .bootstrap(path: path, reason: "cannot be read")
        }
        let list: BootstrapList
        do throws(BootstrapList.Failure) { list = try BootstrapList(text: String(decoding: data, as: UTF8.self)) } catch
        {
            throw .bootstrap(path: path, reason: "\(error)")
        }
        guard !list.links.isEmpty else { throw .bootstrap(path: path, reason: "has no peer link in it") }
        return list
    }

    /// Opens the store that another process has, as that left it at its last commit, and leaves it alone.
    func openStoreForReading() throws(AgentFailure) -> LMDBEnvironment {
        do throws(StorageError) {
            return try LMDBEnvironment(
                readingBeside: storePath, mapSize: AgentFiles.mapSize, tables: SealedStore.tables)
        } catch { throw failure(error) }
    }

    /// Whether another process has the store now.
    var isInUse: Bool { exists && LMDBEnvironment.isInUse(storePath) }

    /// Opens the store for this process alone.
    /// - Parameter creates: whether a store that is missing is made, or an error.
    func openStore(creates: Bool) throws(AgentFailure) -> LMDBEnvironment {
        do throws(StorageError) {
            return try LMDBEnvironment(
                path: storePath, mapSize: AgentFiles.mapSize, tables: SealedStore.tables, creates: creates)
        } catch { throw failure(error) }
    }

    /// Begins an identity, and throws away what a beginning that was cut off has left: it has no identity file, so
    /// nothing can open its store.
    func begin() throws(AgentFailure) {
        if FileManager.default.fileExists(atPath: storePath + "/data.mdb") {
            // Without the mark the store was somebody's, who may find the identity file again.
            let isDisposable = { !exists && FileManager.default.fileExists(atPath: unfinishedPath) }
            var isDiscarded = false
            do throws(StorageError) {
                isDiscarded = try LMDBEnvironment.discard(path: storePath, if: isDisposable)
            } catch { throw failure(error) }
            guard isDiscarded else {
                throw exists ? .identityExists(directory: directory) : .strayStore(directory: directory)
            }
        }
        DurableFile.sweep(directory)
        let text = "An identity is being made here, or that was cut off: hulda id new begins again.\n"
        try write(text, to: unfinishedPath)
    }

    /// The identity is complete.
    func finish() { unlink(unfinishedPath) }

    private func failure(_ error: StorageError) -> AgentFailure {
        switch error {
        case .unavailable(let reason) where reason.contains("in use by"): .inUse(directory: directory)
        case .corrupt(let reason): .damagedStore(directory: directory, reason: reason)
        default: .storage(directory: directory, reason: "\(error)")
        }
    }
}
