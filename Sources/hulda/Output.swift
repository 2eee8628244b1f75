import ArgumentParser
import FoundationEssentials
import Glibc
import NIOCore
import Terminal

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
        write(json ? OutputOptions.line(value) : ForeignText.page(text()), descriptor)
    }

    /// One line of JSON: keys in order, slashes as they are, and what a terminal must not be shown as `\uXXXX`.
    private static func line(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ForeignText.json(String(decoding: (try? encoder.encode(value)) ?? Data(), as: UTF8.self))
    }

    /// The lines of a message that somebody wrote, as wide as the terminal.
    static func message(_ text: String) -> String {
        ForeignText.block(text, on: Screen(descriptor: STDOUT_FILENO))
    }

    /// A word to a person beside the results, on standard error: the state of things, a warning.
    static func tell(_ text: String) {
        let screen = Screen(descriptor: STDERR_FILENO)
        StandardStream.write(ForeignText.paragraph(text, on: screen) + "\n", to: STDERR_FILENO)
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

    /// Cells of an error's sentence: names and paths in it are cut sooner, by who writes it.
    private static let sentenceLimit = 1000

    /// Runs a command's body; a ``Failure`` is printed to standard error and becomes the exit code.
    func run(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let failure as Failure {
            OutputOptions.printFailure(failure, json: json)
            throw failure.code
        }
    }

    /// An error on standard error.
    static func printFailure(_ failure: Failure, json: Bool) {
        // Both are sentences on one line; a line end in them comes from somebody else.
        let message = ForeignText.inline(failure.message, limit: sentenceLimit)
        let next = ForeignText.inline(failure.next, limit: sentenceLimit)
        if json {
            printFailure(message, next: next)
        } else {
            let screen = Screen(descriptor: STDERR_FILENO)
            for line in ["hulda: \(message)", "       \(next)"] {
                StandardStream.write(ForeignText.paragraph(line, on: screen, hanging: 7) + "\n", to: STDERR_FILENO)
            }
        }
    }

    /// An error as one line of JSON on standard error.
    static func printFailure(_ message: String, next: String) {
        StandardStream.write(line(FailureReport(error: message, next: next)) + "\n", to: STDERR_FILENO)
    }
}
