import Federation
import FoundationEssentials
import Glibc
import LMDB
import Primitives
import Records
import Storage
import Transport
import Wire

/// What keeps a server from starting, or should be looked at before it does: found without starting it, and without
/// writing anything but what opening the store writes.
public struct NodeCheck: Sendable {
    public enum Level: String, Codable, Sendable {
        case ok, warning, error
    }

    /// What ends a start, by the part that is not well: each has an exit code of its own.
    public enum Part: String, Codable, Sendable {
        case configuration, files, permissions, keys, lists, store, addresses, clock
    }

    public struct Finding: Codable, Sendable {
        public var level: Level
        public var part: Part
        public var what: String
        /// What to do; missing where all is well.
        public var next: String?
    }

    public private(set) var findings: [Finding] = []
    private let configuration: NodeConfiguration
    private let now: Timestamp

    /// - Parameters:
    ///   - configuration: a valid one.
    ///   - path: its file.
    ///   - isRunning: whether a server runs on it: then its store and its addresses are in use by right.
    public init(_ configuration: NodeConfiguration, path: String, isRunning: Bool, now: Timestamp = .now()) {
        self.configuration = configuration
        self.now = now
        checkFiles(path)
        checkKeys()
        checkLists()
        checkClock()
        if isRunning {
            add(.ok, .addresses, "a server runs on this configuration: its store and addresses were not tried")
        } else {
            checkStore()
            checkAddresses()
        }
    }

    private var folder: String { configuration.dataDirectory }

    private mutating func add(_ level: Level, _ part: Part, _ what: String, next: String? = nil) {
        findings.append(Finding(level: level, part: part, what: what, next: next))
    }

    private mutating func checkFiles(_ path: String) {
        add(.ok, .configuration, "\(path): every option is known and valid")
        var status = stat()
        guard stat(folder, &status) == 0 else {
            return add(
                .error, .files, "\(folder): \(String(cString: strerror(errno)))",
                next: "Make it with: hulda node init, or set data_directory to where it is.")
        }
        if status.st_uid != geteuid() {
            add(
                .warning, .files, "\(folder) belongs to another user than you",
                next: "Check as the server's user: sudo -u USER hulda node check")
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let keys = names.filter { $0.hasSuffix(".key") }.sorted().map { "\(folder)/\($0)" }
        let exposures = [Exposure.ofFolder(folder)] + keys.map { Exposure.ofFile($0) }
        for case let exposure? in exposures { add(.error, .permissions, "\(exposure)", next: exposure.remedy) }
        if exposures.allSatisfy({ $0 == nil }) { add(.ok, .permissions, "only their owner can read the keys") }
        if let exposure = Exposure.ofFile(path) {
            add(.warning, .permissions, "others can read \(path)", next: exposure.remedy)
        }
    }

    private mutating func checkKeys() {
        let hasCertificate = NodeFiles.exists(folder + "/server.cert")
        let names = ["server.key", "link.key"] + (NodeFiles.exists(folder + "/cluster.key") ? ["cluster.key"] : [])
        guard hasCertificate || NodeFiles.exists(folder + "/server.key") else {
            return add(
                .error, .keys, "there are no keys in \(folder)",
                next: "Make them with: hulda node init, or restore the folder from a backup.")
        }
        var isWhole = true
        for name in names {
            do throws(KeyFile.Failure) { _ = try KeyFile.load("\(folder)/\(name)", count: 32) } catch {
                isWhole = false
                // That one was said.
                if case .exposed = error { continue }
                add(.error, .keys, "\(error)", next: "Restore it from a backup.")
            }
        }
        if isWhole { checkCertificate() }
    }

    private mutating func checkCertificate() {
        let path = folder + "/server.cert"
        let bytes = FileManager.default.contents(atPath: path).map { Array($0) }
        guard let certificate = try? bytes.map({ try ServerCertificate(decoding: $0) }) ?? nil else {
            let canIssue = NodeFiles.exists(folder + "/cluster.key")
            return add(
                canIssue ? .warning : .error, .keys, "\(path) is missing or damaged",
                next: canIssue ? "The start makes another, with cluster.key." : "Put cluster.key there for the start.")
        }
        var cluster: VerifyingKey?
        if let seed = try? KeyFile.load(folder + "/cluster.key", count: 32) {
            cluster = (try? SigningKey(seed: seed))?.publicKey
        }
        if let seed = try? KeyFile.load(folder + "/server.key", count: 32),
            (try? SigningKey(seed: seed))?.publicKey != certificate.serverID
        {
            add(.error, .keys, "\(path) is for another key than server.key", next: "Restore both from one backup.")
        }
        if let cluster, cluster != certificate.clusterID {
            add(.error, .keys, "\(path) is of another cluster than cluster.key", next: "Restore both from one backup.")
        }
        let days = (certificate.expiry - min(certificate.expiry, now.seconds)) / 86_400
        let key = cluster == nil ? "cluster.key is elsewhere" : "cluster.key is here"
        switch (days, cluster) {
        case (0, nil):
            add(
                .error, .keys, "the certificate has ended, and cluster.key is not here to renew it",
                next: "Put cluster.key into \(folder) for the start.")
        case (..<30, nil):
            add(
                .warning, .keys, "the certificate ends in \(days) days, and cluster.key is not here to renew it",
                next: "Put cluster.key into \(folder) and start the server again.")
        default: add(.ok, .keys, "the certificate lasts \(days) days; \(key)")
        }
        let issued = certificate.expiry - min(certificate.expiry, 90 * 86_400)
        if issued > now.seconds + 3600 {
            add(
                .warning, .clock, "the certificate was issued in the future: this machine's clock may be behind",
                next: "Compare with: date -u")
        }
    }

    private mutating func checkLists() {
        do throws(NodeError) {
            let named = try NodeFiles.named(configuration)
            let listed = named[.bundled]?.count ?? 0
            let added = named[.invitation]?.count ?? 0
            if let path = NodeFiles.bootstrapPath(configuration), !NodeFiles.exists(path) {
                add(
                    .warning, .lists, "\(path) is missing: what it said when it was read last is used",
                    next: "Put the list there, or take the option bootstrap out.")
            } else {
                add(.ok, .lists, "\(listed) links on the bootstrap list, \(added) added peers")
            }
        } catch { add(.error, .lists, "\(error)", next: "Mend the line, or put the list there.") }
    }

    private mutating func checkStore() {
        // Where there are no keys, that was said, and the store belongs to the first start.
        guard NodeFiles.exists(folder + "/server.key") else { return }
        for (name, tables) in [("store", CoreOwner.tables), ("replay", [ReplayJournal.table])] {
            let path = "\(folder)/\(name)"
            guard NodeFiles.exists(path) else {
                add(
                    .warning, .store, "\(path) is missing: the start begins with an empty one",
                    next: "Restore it from a copy, unless this server is to begin anew.")
                continue
            }
            do throws(StorageError) {
                let size = max(64, configuration.storeMiB) << 20
                guard let problem = try LMDBEnvironment.inspect(path: path, mapSize: size, tables: tables).first else {
                    add(.ok, .store, "\(path) is whole")
                    continue
                }
                add(
                    .warning, .store, "\(path) is damaged: \(problem)",
                    next:
                        "The start uses what is left and keeps the damaged file. Better: restore the folder from a copy."
                )
            } catch {
                add(
                    .error, .store, "the store in \(path): \(error)",
                    next: "See who uses it, and whether you may read and write there.")
            }
        }
    }

    private mutating func checkAddresses() {
        guard let addresses = try? NodeAddresses(configuration) else { return }
        var isFree = true
        for (address, isStream) in [(addresses.listen, true), (addresses.listenDatagram, false)] {
            guard let code = PortProbe.failure(address, isStream: isStream) else { continue }
            isFree = false
            add(
                .error, .addresses,
                "cannot listen on \(isStream ? "TCP" : "UDP") \(address): \(String(cString: strerror(code)))",
                next: "See who listens with ss -ltnup, and which addresses this machine has with ip address.")
        }
        if isFree { add(.ok, .addresses, "TCP \(addresses.listen) and UDP \(addresses.listenDatagram) are free") }
    }

    /// A clock that runs behind the own files is wrong, or they are from another machine.
    private mutating func checkClock() {
        let names = ["store/data.mdb", "server.cert"]
        let latest =
            names.compactMap { name -> Int? in
                var status = stat()
                return stat("\(folder)/\(name)", &status) == 0 ? status.st_mtim.tv_sec : nil
            }.max() ?? 0
        guard UInt64(max(0, latest)) > now.seconds + 60 else {
            return add(.ok, .clock, "the clock is not behind what the files say")
        }
        add(
            .warning, .clock, "the store was written in the future: this machine's clock is behind",
            next: "Compare with: date -u, and see that it is set by NTP.")
    }
}
