import Foundation

/// A script of Tests/Peers, which computes the same as we do, on its own.
///
/// Its interpreter, with what bootstrap/test installs for it, is named by the environment's `HULDA_PYTHON`. Continuous
/// integration (`CI=true`) must have it; elsewhere the tests that need it are skipped without.
public struct Peer: Sendable {
    static let interpreter = ProcessInfo.processInfo.environment["HULDA_PYTHON"]
    /// The condition of tests that need a peer.
    public static let isWanted = interpreter != nil || ProcessInfo.processInfo.environment["CI"] == "true"
    /// The top of the repository.
    public static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The file's name in Tests/Peers, without `.py`.
    public let name: String

    public init(_ name: String) { self.name = name }

    /// The script's standard output.
    public func run(_ arguments: [String] = [], input: Data = Data()) throws -> Data {
        // Through a file: a pipe in each direction can block both ends.
        let file = Peer.temporaryFile()
        try input.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let output = Pipe()
        let process = try process(arguments)
        process.standardInput = try FileHandle(forReadingFrom: file)
        process.standardOutput = output
        try process.run()
        let answer = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(name).py ended with status \(process.terminationStatus)")
        }
        return answer
    }

    /// The lines of JSON that the script answers.
    public func answers<T: Decodable>(
        _ arguments: [String] = [], input: Data = Data(), as type: T.Type = T.self
    ) throws -> [T] {
        try run(arguments, input: input).split(separator: UInt8(ascii: "\n"))
            .map { try JSONDecoder().decode(T.self, from: $0) }
    }

    /// Answers to all requests, a line of JSON each, from one process.
    public func answers<T: Decodable>(
        _ arguments: [String] = [], to requests: [[String: Any]], as type: T.Type = T.self
    ) throws -> [T] {
        let lines = try requests.map { try JSONSerialization.data(withJSONObject: $0) + Data("\n".utf8) }
        return try answers(arguments, input: Data(lines.joined()))
    }

    /// Whether the script writes specs/vectors/NAME.json again, byte for byte.
    public func writesVectors() throws -> Bool {
        let file = Peer.temporaryFile()
        defer { try? FileManager.default.removeItem(at: file) }
        _ = try run(["vectors", file.path])
        return try Data(contentsOf: file) == Data(contentsOf: Peer.url(ofVectors: name))
    }

    /// A process of the script that is not started yet.
    public func process(_ arguments: [String]) throws -> Process {
        guard let interpreter = Peer.interpreter else {
            throw Failure(description: "HULDA_PYTHON names no Python interpreter, and CI must compare with one")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = [Peer.repository.appendingPathComponent("Tests/Peers/\(name).py").path] + arguments
        return process
    }

    /// What specs/vectors/NAME.json holds.
    public static func vectors<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        try JSONDecoder().decode(T.self, from: Data(contentsOf: url(ofVectors: name)))
    }

    private static func url(ofVectors name: String) -> URL {
        repository.appendingPathComponent("specs/vectors/\(name).json")
    }

    private static func temporaryFile() -> URL {
        FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString)")
    }
}
