import ArgumentParser
import Federation
import FoundationEssentials
import Glibc
import Node
import Records
import Transport

/// The files and processes of a testbed: one folder a cluster, one process each, each with its own loopback address.
struct Testbed {
    /// The most clusters: each has its own /16 of 127.0.0.0/8, so that path rules on prefixes hold.
    static let clusterLimit = 200
    static let port = 7411
    /// POSIX_SPAWN_SETSID of glibc, which Swift's overlay leaves out.
    private static let newSession: Int16 = 0x80

    let directory: String

    struct Member {
        let name: String
        let directory: String
        var configurationPath: String { directory + "/node.toml" }
        var pidPath: String { directory + "/node.pid" }
        var logPath: String { directory + "/node.log" }
    }

    /// The members whose folders exist, in order of their number.
    var members: [Member] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasPrefix("cluster-") }
            .compactMap { name in Int(name.dropFirst("cluster-".count)).map { (number: $0, name: name) } }
            .sorted { $0.number < $1.number }
            .map { Member(name: $0.name, directory: directory + "/" + $0.name) }
    }

    var bootstrapPath: String { directory + "/bootstrap.txt" }

    /// The folder and configuration of cluster `number`, from 1.
    func configuration(_ number: Int, firstOctet: Int) -> NodeConfiguration {
        let address = "127.\(firstOctet + number - 1).0.1:\(Testbed.port)"
        var configuration = NodeConfiguration(
            clusterName: "cluster-\(number)", dataDirectory: "\(directory)/cluster-\(number)", listen: address,
            listenDatagram: address)
        configuration.bootstrap = bootstrapPath
        configuration.storeMiB = 64
        configuration.testbedAddresses = true
        // One contact for all would make them one family, which paths avoid (specs/map.md, "Families").
        configuration.contact = "testbed cluster \(number)"
        return configuration
    }

    /// Folders, keys and configurations of a new testbed, and the bootstrap list of all its clusters.
    func create(_ clusters: Int, firstOctet: Int) throws {
        var list = ""
        for number in 1...clusters {
            let configuration = configuration(number, firstOctet: firstOctet)
            // The list is written when all keys are made, so the keys are made without it.
            var bare = configuration
            bare.bootstrap = nil
            let link = try NodeFailureText.translate { try NodeRuntime.prepare(bare) }
            list += "\(link.text) # \(configuration.clusterName)\n"
            try ConfigurationFile.write(configuration, to: configuration.dataDirectory + "/node.toml")
        }
        do throws(DurableFile.Failure) {
            try DurableFile.write(list, to: bootstrapPath)
        } catch {
            throw Failure(
                "\(error.path) cannot be written: \(error.reason)",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
    }

    /// The process of `member` when it is running.
    func runningProcess(_ member: Member) -> pid_t? {
        guard let text = try? String(contentsOfFile: member.pidPath, encoding: .utf8),
            let pid = text.split(whereSeparator: \.isWhitespace).first.flatMap({ pid_t($0) }), pid > 1,
            kill(pid, 0) == 0,
            let command = try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8),
            command.split(separator: "\0").contains(where: { $0 == member.configurationPath })
        else { return nil }
        return pid
    }

    /// Starts `member` in a session of its own, so that it outlives this command, its output in a log file.
    /// - Returns: its process.
    func start(_ member: Member) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, member.logPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Testbed.newSession)
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let words = [program, "node", "run", "--config", member.configurationPath]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, program, &actions, &attributes, &arguments, environ)
        guard status == 0 else {
            throw Failure(
                "cannot start \(member.name): \(String(cString: strerror(status)))",
                next: "Check that the disk is not full and that more processes may be started.", code: SysExit.os)
        }
        try DurableFile.write("\(pid)\n", to: member.pidPath)
        return pid
    }

    /// The first member that does not run, with the exit code of those that this command has started.
    func ended(_ members: [Member], _ started: [String: pid_t]) -> (member: Member, code: ExitCode?)? {
        guard let member = members.first(where: { runningProcess($0) == nil }) else { return nil }
        var status: Int32 = 0
        // Ours is a child, which stays in the table of processes until it was waited for.
        guard let pid = started[member.name], waitpid(pid, &status, WNOHANG) == pid, status & 0x7f == 0 else {
            return (member, nil)
        }
        return (member, ExitCode(status >> 8 & 0xff))
    }

    /// Why a member ended: the error at the end of its log, else the last line.
    func lastWords(_ member: Member) -> String {
        let text = (try? String(contentsOfFile: member.logPath, encoding: .utf8)) ?? ""
        let lines = text.split(separator: "\n").suffix(20)
        guard let start = lines.lastIndex(where: { $0.hasPrefix("hulda: ") }) else {
            return lines.last.map(String.init) ?? "its log is empty"
        }
        return lines[start...].map { String($0.drop(while: \.isWhitespace)) }.joined(separator: " ")
            .replacingOccurrences(of: "hulda: ", with: "")
    }

    func stopAll() -> Int { stop(members) }

    /// Ends members' processes; asks first, then insists after five seconds.
    @discardableResult
    func stop(_ members: [Member]) -> Int {
        let running = members.compactMap { member in runningProcess(member).map { (member, $0) } }
        for (_, pid) in running { kill(pid, SIGTERM) }
        let deadline = Date().addingTimeInterval(5)
        while Date() < deadline, running.contains(where: { runningProcess($0.0) != nil }) { usleep(50_000) }
        for (member, pid) in running where runningProcess(member) != nil { kill(pid, SIGKILL) }
        return running.count
    }
}
