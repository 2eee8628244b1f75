import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// A `hulda node` of its own folder and process.
///
/// Started before and stopped after everything else looks at it, which is what makes `@unchecked Sendable` true.
public final class RelayProcess: @unchecked Sendable {
    /// Why the node could not be started, in words.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
        public init(_ description: String) { self.description = description }
    }

    /// What a node's process has used, in seconds.
    public struct CPUTime: Sendable {
        public var user: Double
        public var system: Double

        public static func - (left: CPUTime, right: CPUTime) -> CPUTime {
            CPUTime(user: left.user - right.user, system: left.system - right.system)
        }
    }

    /// The node's folder; removed by ``stop()``.
    public let directory: URL
    /// The peer link that `hulda node init` printed.
    public let peer: String
    private let hulda: String
    private var process = Process()

    public var pid: Int32 { process.processIdentifier }
    public var isRunning: Bool { process.isRunning }

    /// Makes the node's keys and configuration.
    /// - Parameters:
    ///   - hulda: path of the program.
    ///   - parent: where the node's folder is made.
    public init(hulda: String, listen: String, parent: URL) throws {
        self.hulda = hulda
        directory = parent.appendingPathComponent("hulda-benchmark-\(getpid())")
        let output = Pipe()
        let make = Process()
        make.executableURL = URL(fileURLWithPath: hulda)
        make.arguments = ["node", "init", directory.path, "--name", "benchmark", "--listen", listen]
        make.standardOutput = output
        try make.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        make.waitUntilExit()
        let words = text.split { $0.isWhitespace || $0 == "\"" }
        guard make.terminationStatus == 0, let link = words.first(where: { $0.hasPrefix("hulda-peer:") }) else {
            throw Failure("hulda node init failed with \(make.terminationStatus)")
        }
        peer = String(link)
    }

    /// Adds a line to the node's list of peers.
    public func add(peer: String) throws {
        let path = directory.appendingPathComponent("peers.txt")
        let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
        try (text + peer + "\n").write(to: path, atomically: true, encoding: .utf8)
    }

    /// Starts the node.
    /// - Parameter core: the processor to which all its threads are bound; any when `nil`.
    public func start(core: Int?) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // `env`, `setpriv` and `taskset` replace themselves by the program, so the process ID is the node's.
        let bound = core.map { ["taskset", "-c", "\($0)"] } ?? []
        let configuration = directory.appendingPathComponent("node.toml").path
        // The node ends with this process, whatever ends that.
        let wrappers = ["setpriv", "--pdeathsig", "TERM"] + bound
        process.arguments = wrappers + [hulda, "node", "run", "--config", configuration]
        try Data().write(to: log)
        process.standardError = try FileHandle(forWritingTo: log)
        process.standardOutput = FileHandle.nullDevice
        try process.run()
    }

    /// - Throws: ``Failure`` with the node's last words when it has ended by itself.
    public func check() throws {
        guard !process.isRunning else { return }
        let words = ((try? String(contentsOf: log, encoding: .utf8)) ?? "").suffix(500)
        throw Failure("the node ended by itself with \(process.terminationStatus): \(words)")
    }

    private var log: URL { directory.appendingPathComponent("benchmark.log") }

    /// Ends the node; it can be started again.
    public func end() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    /// Changes a number in the node's configuration.
    public func set(_ option: String, to value: Int) throws {
        let path = directory.appendingPathComponent("node.toml")
        let text = try String(contentsOf: path, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix(option + " ") }
        try (["\(option) = \(value)"] + lines.map(String.init)).joined(separator: "\n")
            .write(to: path, atomically: true, encoding: .utf8)
    }

    /// Ends the node and removes its folder.
    public func stop() {
        end()
        try? FileManager.default.removeItem(at: directory)
    }

    /// What the process has used so far (proc(5), `stat`).
    public func cpuTime() throws -> CPUTime {
        let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        // The second field, the name, is in parentheses and may have spaces; the third follows the last of them.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
            throw Failure("/proc/\(pid)/stat is of an unknown form")
        }
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        return CPUTime(user: user / ticks, system: system / ticks)
    }

    /// Fields of `/proc/PID/status` that begin with `Vm` or `Rss`, in kB.
    public func memory() throws -> [String: Int] {
        let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        var fields: [String: Int] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("Vm") || line.hasPrefix("Rss") {
            let words = line.split { $0 == ":" || $0.isWhitespace }
            if words.count > 1, let value = Int(words[1]) { fields[String(words[0])] = value }
        }
        return fields
    }
}
