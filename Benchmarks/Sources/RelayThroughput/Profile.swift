import Foundation
import Relays

/// Where a process spends its time, as `perf` samples it.
struct Profile {
    /// Share of the samples by program or library, the largest first.
    let shares: [(name: String, share: Double)]

    /// The share outside libsodium.
    var outside: Double { 1 - shares.filter { $0.name.contains("sodium") }.reduce(0) { $0 + $1.share } }

    /// Samples `pid` while `body` runs; `nil` when `perf` is missing or not allowed.
    static func record(pid: Int32, in directory: URL, during body: () async throws -> Void) async throws -> Profile? {
        let path = directory.appendingPathComponent("perf.data").path
        let record = perf(
            // The command's end is perf's, which has been seen not to end on a signal.
            ["record", "-q", "-e", "cpu-clock", "-F", "997", "-p", "\(pid)", "-o", path, "--", "sleep", "2"])
        record.standardOutput = FileHandle.nullDevice
        try record.run()
        try await Task.sleep(for: .milliseconds(500))
        try await body()
        record.waitUntilExit()
        let output = Pipe()
        let report = perf(["report", "--stdio", "-q", "--sort", "dso", "-i", path])
        report.standardOutput = output
        try report.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        report.waitUntilExit()
        let profile = Profile(text)
        return profile.shares.isEmpty ? nil : profile
    }

    /// Lines of the form `  53.21%  libsodium.so.23.3.0`.
    private init(_ text: String) {
        shares = text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count >= 2, words[0].hasSuffix("%"), let share = Double(words[0].dropLast()) else { return nil }
            return (String(words[1]), share / 100)
        }
    }

    private static func perf(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["timeout", "-k", "2", "20", "perf"] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        return process
    }
}
