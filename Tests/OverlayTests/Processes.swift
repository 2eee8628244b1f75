import Federation
import Foundation
import Node
import Testing

/// The `hulda` program that was built beside these tests.
enum Program {
    struct Output: Sendable {
        let status: Int32
        let text: String
        let errors: String
    }

    static var path: String {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        return bundle.appendingPathComponent("hulda").path
    }

    /// Runs the program, or another in its place, to its end.
    static func run(
        _ arguments: [String], environment: [String: String] = [:], input: String? = nil, program: String = path
    ) throws -> Output {
        let folder = try Folder()
        let (out, errors, feed) = (folder.path + "/out", folder.path + "/errors", folder.path + "/input")
        try (input ?? "").write(toFile: feed, atomically: true, encoding: .utf8)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, feed, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT, 0o600)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        argv.append(nil)
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") }
        envp.append(nil)
        defer { for text in argv + envp { free(text) } }
        // Not Foundation's Process, whose wait depends on a run loop that test threads do not have.
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, program, &actions, nil, &argv, &envp) == 0, "cannot start \(program)")
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        // WIFEXITED and WEXITSTATUS; a signal is told apart by a negative number.
        let code = status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
        return Output(
            status: code, text: try String(contentsOfFile: out, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }
}

/// A folder that goes away with its owner.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// An overlay of real processes on loopback addresses of its own.
final class Overlay: Sendable {
    let folder: Folder
    let clusters: Int

    /// - Parameter network: the second number of the first cluster's address; different for tests side by side.
    init(clusters: Int, network: Int) throws {
        folder = try Folder()
        self.clusters = clusters
        let output = try Program.run(
            ["testbed", "up", "--clusters", "\(clusters)", "--network", "\(network)", "--dir", folder.path])
        try #require(output.status == 0, "\(output.errors)")
    }

    deinit { _ = try? Program.run(["testbed", "down", "--dir", folder.path]) }

    var bootstrap: String { folder.path + "/bootstrap.txt" }

    func configuration(_ number: Int) -> String { "\(folder.path)/cluster-\(number)/node.toml" }

    func pid(_ number: Int) throws -> pid_t {
        let text = try String(contentsOfFile: "\(folder.path)/cluster-\(number)/node.pid", encoding: .utf8)
        return try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    func kill(_ number: Int) throws { Foundation.kill(try pid(number), SIGKILL) }

    /// Starts again whatever does not run.
    func restart() throws {
        let output = try Program.run(["testbed", "up", "--dir", folder.path])
        try #require(output.status == 0, "\(output.errors)")
    }

    /// An operator's direct lookup.
    func resolve(_ id: String, by number: Int) throws -> NodeResolution {
        let output = try Program.run(["node", "resolve", id, "--config", configuration(number), "--json"])
        try #require(output.status == 0, "\(output.errors)")
        return try JSONDecoder().decode(NodeResolution.self, from: Data(output.text.utf8))
    }

    func status(_ number: Int) throws -> Statement {
        let output = try Program.run(["node", "status", "--config", configuration(number), "--json"])
        try #require(output.status == 0, "\(output.errors)")
        return try JSONDecoder().decode(Statement.self, from: Data(output.text.utf8))
    }
}

/// What tests read in a node's statement.
struct Statement: Decodable {
    struct Server: Decodable {
        let residentKiB: Int
    }
    struct Mix: Decodable {
        let received: Int
        let replays: Int
        let waiting: Int
    }
    struct Gateway: Decodable {
        let agents: Int
        let mailboxes: Int
        let repliesWaiting: Int
        let agentAddresses: [String]
    }
    struct Home: Decodable {
        let accounts: [String]
        let items: Int
    }
    struct Directory: Decodable {
        let records: Int
        let contacts: Int
        let view: NodeStatus.View
    }
    struct Map: Decodable {
        let clusters: Int
        let servers: Int
        let wireVersion: Int
        let links: [String: Int]
        let snapshot: SnapshotReport?
    }
    let server: Server
    let mix: Mix
    let gateway: Gateway
    let home: Home
    let directory: Directory
    let map: Map
    let counters: [String: Int]
}

/// A user of an overlay, through the command line.
struct User {
    let folder: Folder
    let id: String
    let environment: [String: String]

    init(_ overlay: Overlay, address: String) throws {
        folder = try Folder()
        environment = [
            "HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "a passphrase", "HULDA_BIND": address,
        ]
        let output = try Program.run(
            ["id", "new", "--bootstrap", overlay.bootstrap, "--fast-passphrase", "--json"], environment: environment)
        try #require(output.status == 0, "\(output.errors)")
        id = try #require(try JSONDecoder().decode([String: String].self, from: Data(output.text.utf8))["id"])
    }

    @discardableResult
    func run(_ arguments: String..., input: String? = nil, expect status: Int32 = 0) throws -> String {
        let output = try Program.run(arguments, environment: environment, input: input)
        #expect(output.status == status, "\(arguments): \(output.text) \(output.errors)")
        return output.text
    }

    struct Message: Decodable, Equatable {
        let from: String
        let text: String
    }

    /// The messages of an `inbox` command's output.
    func inbox(_ arguments: String...) throws -> [Message] {
        let output = try Program.run(["inbox", "--json"] + arguments, environment: environment)
        #expect(output.status == 0, "\(output.errors)")
        return try output.text.split(separator: "\n").map {
            try JSONDecoder().decode(Message.self, from: Data($0.utf8))
        }
    }
}
