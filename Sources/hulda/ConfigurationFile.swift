import FoundationEssentials
import Glibc
import Node
import TOMLKit
import Terminal
import Transport

/// `node.toml`: reading with errors that name the option and its line, and writing.
enum ConfigurationFile {
    /// Room for every option at its longest; a file that is longer is none.
    private static let sizeLimit = 1 << 20

    /// What stands in the file, its options' names and types checked.
    static func read(_ path: String) throws -> NodeConfiguration {
        let text = try text(path)
        do {
            try check(TOMLTable(string: text), text)
            let configuration = try TOMLDecoder(strictDecoding: true).decode(NodeConfiguration.self, from: text)
            if configuration.registrationToken != nil, let exposure = Exposure.ofFile(path) { throw exposure }
            return configuration
        } catch let exposure as Exposure {
            throw Failure("\(exposure)", next: exposure.remedy, code: SysExit.noPermission)
        } catch let error as Wrong {
            throw wrong(path, error)
        } catch {
            throw wrong(path, describe(error))
        }
    }

    /// The same, its values checked as well.
    static func readValid(_ path: String) throws -> NodeConfiguration {
        let configuration = try read(path)
        do throws(NodeError) {
            try configuration.validate()
            _ = try NodeAddresses(configuration)
        } catch {
            guard case .configuration(let field, let reason) = error else { throw NodeFailureText.failure(error) }
            throw wrong(path, Wrong(text: "\(field) \(reason)", line: line(of: field, in: try text(path))))
        }
        return configuration
    }

    /// Writes a file with comments that its owner alone can read: it has the token for registrations.
    static func write(_ configuration: NodeConfiguration, to path: String) throws {
        do throws(DurableFile.Failure) {
            try DurableFile.write(ConfigurationText.of(configuration), to: path)
        } catch {
            throw Failure(
                "\(error.path) cannot be written: \(error.reason)",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
        // One that is replaced keeps its mode.
        chmod(path, 0o600)
    }

    // MARK: What is wrong

    private struct Wrong: Error {
        let text: String
        var line: Int?
    }

    private static func text(_ path: String) throws -> String {
        func failure(_ reason: String) -> Failure {
            Failure(
                "the configuration \(path) cannot be read: \(reason)",
                next: "Make one with: hulda node init DIRECTORY, or name another with --config FILE.",
                code: SysExit.noInput)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        let (bytes, reason) = StandardStream.read(limit: sizeLimit + 1, from: descriptor)
        guard reason == 0 else { throw failure(String(cString: strerror(reason))) }
        guard bytes.count <= sizeLimit, let text = String(validating: bytes, as: UTF8.self) else {
            throw failure("it is no text, or too long")
        }
        return text
    }

    /// That every option is known and of its type: the decoder does not tell a wrong type from a missing option.
    private static func check(_ table: TOMLTable, _ text: String) throws {
        for name in table.keys.sorted() {
            let line = line(of: name, in: text)
            guard let option = NodeOption.all.first(where: { $0.name == name }) else {
                throw Wrong(text: "there is no option \(name.shown)", line: line)
            }
            let types: Set<TOMLType> =
                switch option.sample {
                case .text: [.string]
                case .number: [.int]
                case .texts: [.array]
                case .flag: [.bool]
                }
            let isRight = table[name].map { types.contains($0.type) } ?? false
            let elements = table[name]?.array.map { array in array.allSatisfy { $0.type == .string } } ?? true
            guard isRight, elements else { throw Wrong(text: "\(name) must be \(option.sample.kind)", line: line) }
        }
    }

    /// The line on which a value is given to the option; of one in a table, none.
    private static func line(of name: String, in text: String) -> Int? {
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        return lines.firstIndex { line in
            let words = line.split(separator: "=", maxSplits: 1)
            let key = words.first?.filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" }
            return words.count == 2 && key == name
        }.map { $0 + 1 }
    }

    private static func describe(_ error: any Error) -> Wrong {
        switch error {
        case let error as TOMLParseError: Wrong(text: error.description, line: error.source.begin.line)
        case DecodingError.keyNotFound(let key, _): Wrong(text: "the option \(key.stringValue) is missing")
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            Wrong(
                text: "the option \(context.codingPath.map(\.stringValue).joined(separator: ".")) has the wrong type")
        case let error as UnexpectedKeysError:
            Wrong(text: "there is no option \(error.keys.keys.sorted().joined(separator: ", ").shown)")
        default: Wrong(text: "\(error)")
        }
    }

    private static func wrong(_ path: String, _ wrong: Wrong) -> Failure {
        Failure(
            "\(path)\(wrong.line.map { ", line \($0)" } ?? ""): \(wrong.text)",
            next: "hulda node init writes a file that explains every option; try this one with: hulda node check "
                + "--config \(path.forShell)",
            code: SysExit.config)
    }
}
