import Foundation
import Relays

// The resident memory of a node that nobody uses. See Benchmarks/README.md.
guard CommandLine.arguments.count >= 2 else {
    FileHandle.standardError.write(Data("usage: idle-memory HULDA [SECONDS]\n".utf8))
    exit(64)
}
let seconds = CommandLine.arguments.dropFirst(2).first.flatMap { Double($0) } ?? 30
let node = try RelayProcess(
    hulda: CommandLine.arguments[1], listen: "127.90.0.1:7420", parent: FileManager.default.temporaryDirectory)
do {
    try node.start(core: nil)
    try await Task.sleep(for: .seconds(seconds))
    try node.check()
    let memory = try node.memory()
    print("resident after \(seconds) s idle:")
    for (field, meaning) in [
        ("VmRSS", "all"), ("RssAnon", "anonymous: heap and stacks"), ("RssFile", "file: program and libraries"),
        ("RssShmem", "shared"), ("VmHWM", "the most so far"),
    ] {
        print("  \(field)  \(memory[field] ?? 0) kB  \(meaning)")
    }
} catch {
    node.stop()
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
node.stop()
