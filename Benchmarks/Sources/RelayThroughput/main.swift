import Foundation
import Records
import Relays
import Wire

// How many envelopes one relay process on one core forwards. See Benchmarks/README.md.
let usage = """
    usage: relay-throughput HULDA [--count N] [--window N] [--core N] [--directory DIR] [--floor MICROSECONDS]

      --count      envelopes of one run; 30000
      --window     envelopes under way at a time; 512
      --core       the processor to which the relay is bound; 0
      --directory  where the relay's folder is made; the temporary directory
      --floor      libsodium's time for one envelope as ratios measures it (bare unwrap, frame seal and open),
                   from which the share outside it is estimated where perf cannot be used

    """

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(64)
}

var arguments = CommandLine.arguments.dropFirst()
guard let hulda = arguments.popFirst(), !hulda.hasPrefix("--") else { fail(usage) }
var options = ["--count": "30000", "--window": "512", "--core": "0"]
while let name = arguments.popFirst() {
    guard ["--count", "--window", "--core", "--directory", "--floor"].contains(name), let value = arguments.popFirst()
    else { fail(usage) }
    options[name] = value
}
guard let count = options["--count"].flatMap({ Int($0) }), let window = options["--window"].flatMap({ Int($0) }),
    let core = options["--core"].flatMap({ Int($0) }), count > 0, window > 0
else { fail(usage) }
let parent = options["--directory"].map { URL(fileURLWithPath: $0) } ?? FileManager.default.temporaryDirectory

let relay = try RelayProcess(hulda: hulda, listen: "127.90.0.1:7420", parent: parent)
do {
    let driver = try Driver(
        relay: PeerLink(text: relay.peer), address: SocketAddress(v4: (127, 91, 0, 1), port: 7420))
    try relay.add(peer: driver.peer.text)
    try relay.start(core: core)
    try await driver.connect()
    // Connections, tables and the allocator's pools grow to their size before the clock runs.
    _ = try await driver.run(count: 2000, window: window)

    let envelopes = try driver.prepare(count: count)
    let before = try relay.cpuTime()
    let run = try await driver.run(envelopes, window: window)
    let used = try relay.cpuTime() - before
    guard run.received > 0 else { throw RelayProcess.Failure("no envelope came through the relay") }
    let perEnvelope = (used.user + used.system) / Double(run.received) * 1e6
    func text(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }
    print("envelopes            \(run.received) of \(count) came through, \(window) under way")
    print("throughput           \(text(Double(run.received) / run.seconds, 0)) envelopes/s")
    print("relay's CPU time     \(text(perEnvelope)) µs per envelope")
    print("  in user mode       \(text(used.user / Double(run.received) * 1e6)) µs")
    print("  in the kernel      \(text(used.system / Double(run.received) * 1e6)) µs")
    print("relay's core busy    \(text((used.user + used.system) / run.seconds * 100, 0)) %")
    print("per second of CPU    \(text(1e6 / perEnvelope, 0)) envelopes")

    let sampled = try driver.prepare(count: count)
    let profile = try await Profile.record(pid: relay.pid, in: relay.directory) {
        _ = try await driver.run(sampled, window: window)
    }
    if let profile {
        print("outside libsodium    \(text(profile.outside * 100)) % of the CPU time (perf)")
        for (name, share) in profile.shares.prefix(8) { print("  \(text(share * 100)) %  \(name)") }
    } else if let floor = options["--floor"].flatMap({ Double($0) }) {
        print("outside libsodium    \(text((1 - floor / perEnvelope) * 100)) % of the CPU time (estimated)")
    } else {
        print("outside libsodium    unknown: perf cannot be used; give --floor")
    }
    let memory = try relay.memory()
    print("resident             \(memory["VmRSS"] ?? 0) kB, the most \(memory["VmHWM"] ?? 0) kB")
    try await driver.close()
} catch {
    relay.stop()
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
relay.stop()
