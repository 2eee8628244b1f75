import Foundation
import Testing

/// The second implementation, in Python: Tests/Peers/map.py and paths.py.
///
/// Its interpreter, with `cryptography` installed, is named by the environment's `HULDA_PYTHON`. Continuous integration
/// (`CI=true`) must have it; elsewhere the tests that need it are skipped without.
enum MapPeer {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let interpreter = ProcessInfo.processInfo.environment["HULDA_PYTHON"]
    static let isWanted = interpreter != nil || ProcessInfo.processInfo.environment["CI"] == "true"

    /// The standard output of a script.
    static func run(_ arguments: [String], input: Data = Data(), script: String = "map.py") throws -> Data {
        let interpreter = try #require(interpreter, "HULDA_PYTHON names no Python interpreter")
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-\(UUID().uuidString)")
        try input.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = [repository.appendingPathComponent("Tests/Peers/\(script)").path] + arguments
        process.standardInput = try FileHandle(forReadingFrom: file)
        process.standardOutput = output
        try process.run()
        let answer = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(script) ended with status \(process.terminationStatus)")
        return answer
    }
}
