import FoundationEssentials
import Node
import TOMLKit
import Transport

/// `node.toml`: reading with errors that name the field, and writing.
enum ConfigurationFile {
    static func read(_ path: String) throws -> NodeConfiguration {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw Failure(
                "the configuration \(path) cannot be read",
                next: "Make one with: hulda node init DIRECTORY, or name another with --config FILE.",
                code: SysExit.noInput)
        }
        do {
            let configuration = try TOMLDecoder(strictDecoding: true).decode(NodeConfiguration.self, from: text)
            if configuration.registrationToken != nil, let exposure = Exposure.ofFile(path) { throw exposure }
            return configuration
        } catch let exposure as Exposure {
            throw Failure("\(exposure)", next: exposure.remedy, code: SysExit.noPermission)
        } catch {
            throw Failure(
                "the configuration \(path) is wrong: \(describe(error))",
                next: "Every option is explained in bootstrap/node.toml.", code: SysExit.config)
        }
    }

    static func write(_ configuration: NodeConfiguration, to path: String) throws {
        do throws(DurableFile.Failure) {
            let text: String
            do { text = try TOMLEncoder().encode(configuration) } catch {
                throw DurableFile.Failure(path: path, reason: "\(error)")
            }
            try DurableFile.write(text, to: path)
        } catch {
            throw Failure(
                "\(error.path) cannot be written: \(error.reason)",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
    }

    private static func describe(_ error: any Error) -> String {
        switch error {
        case let error as TOMLParseError: "\(error)"
        case DecodingError.keyNotFound(let key, _): "the option \(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "the option \(context.codingPath.map(\.stringValue).joined(separator: ".")) has the wrong type"
        case let error as UnexpectedKeysError: "unknown options: \(error.keys.keys.sorted().joined(separator: ", "))"
        default: "\(error)"
        }
    }
}
