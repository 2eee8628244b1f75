import ArgumentParser
import FoundationEssentials
import Glibc
import NIOCore

/// Exit codes after sysexits.h.
enum SysExit {
    /// The command was used wrongly: an ID with a typing error, for example.
    static let usage = ExitCode(64)
    /// Input data is wrong.
    static let data = ExitCode(65)
    /// An input file is missing or unreadable.
    static let noInput = ExitCode(66)
    /// The other user or service is not known.
    static let noHost = ExitCode(68)
    /// A service is not available.
    static let unavailable = ExitCode(69)
    /// The system refused something: a busy port, no process.
    static let os = ExitCode(71)
    /// The program itself is at fault.
    static let software = ExitCode(70)
    /// A file could not be created or written.
    static let cantCreate = ExitCode(73)
    /// Reading or writing a file failed.
    static let io = ExitCode(74)
    /// Try again later; nothing is lost.
    static let temporary = ExitCode(75)
    /// The other side contradicts what it said before.
    static let protocolError = ExitCode(76)
    /// Permission denied: a wrong passphrase, for example.
    static let noPermission = ExitCode(77)
    /// The configuration is wrong.
    static let config = ExitCode(78)
}

/// An error for a person: what is wrong, and what to do next.
struct Failure: Error {
    let message: String
    let next: String
    let code: ExitCode

    init(_ message: String, next: String, code: ExitCode) {
        self.message = message
        self.next = next
        self.code = code
    }
}

/// Seconds to wait, on the command line: from 0 to a year.
struct Seconds: ExpressibleByArgument {
    private static let year = 31_536_000
    let count: Int

    init(_ count: Int) { self.count = count }

    init?(argument: String) {
        guard let count = Int(argument), (0...Seconds.year).contains(count) else { return nil }
        self.count = count
    }

    var defaultValueDescription: String { "\(count)" }
    var amount: TimeAmount { .seconds(Int64(count)) }
}

/// `--json`, on every command that prints.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, one object a line, instead of text.")
    var json = false

    /// Prints `value` as one line of JSON, or the lines of `text`.
    func print(_ value: some Encodable, to descriptor: Int32 = STDOUT_FILENO, text: () -> String) {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            if let data = try? encoder.encode(value) { write(String(decoding: data, as: UTF8.self), descriptor) }
        } else {
            write(text(), descriptor)
        }
    }

    /// What could not be written was not shown: the program ends, so that nothing counts as read.
    private func write(_ line: String, _ descriptor: Int32) {
        let reason = StandardStream.write(line + "\n", to: descriptor)
        guard reason != 0 else { return }
        if reason != EPIPE {
            StandardStream.write(
                "hulda: the output cannot be written: \(String(cString: strerror(reason)))\n", to: STDERR_FILENO)
        }
        Glibc.exit(SysExit.io.rawValue)
    }

    /// Runs a command's body; a ``Failure`` is printed to standard error and becomes the exit code.
    func run(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let failure as Failure {
            if json {
                OutputOptions.printFailure(failure.message, next: failure.next)
            } else {
                StandardStream.write("hulda: \(failure.message)\n       \(failure.next)\n", to: STDERR_FILENO)
            }
            throw failure.code
        }
    }

    /// An error as one line of JSON on standard error.
    static func printFailure(_ message: String, next: String) {
        let data = (try? JSONEncoder().encode(["error": message, "next": next])) ?? Data()
        StandardStream.write(String(decoding: data, as: UTF8.self) + "\n", to: STDERR_FILENO)
    }
}
