import Foundation
import Operations
import Records
import Relays
import Wire

// How many envelopes one relay process on one core forwards. See Benchmarks/README.md.
let usage = """
    usage: relay-throughput HULDA [--count N] [--window N] [--runs N] [--core N] [--directory DIR] [--perf]

      --count      envelopes of one run; 20000
      --window     envelopes under way at a time; 512
      --runs       runs of which the least, the median and the most are told; 5
      --core       the processor to which the relay is bound, and nothing else; 0
      --directory  where the relay's folder is made; the temporary directory
      --perf       sample one more run with perf, if it can be used

    """

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(64)
}

var arguments = CommandLine.arguments.dropFirst()
guard let hulda = arguments.popFirst(), !hulda.hasPrefix("--") else { fail(usage) }
var options = ["--count": "20000", "--window": "512", "--runs": "5", "--core": "0"]
while let name = arguments.popFirst() {
    if name == "--perf" {
        options[name] = ""
        continue
    }
    guard ["--count", "--window", "--runs", "--core", "--directory"].contains(name), let value = arguments.popFirst()
    else { fail(usage) }
    options[name] = value
}
@MainActor func number(_ name: String) -> Int {
    guard let value = options[name].flatMap({ Int($0) }), (0...1_000_000).contains(value) else { fail(usage) }
    return value
}
let (count, window, runs, core) = (number("--count"), number("--window"), number("--runs"), number("--core"))
guard count > 0, window > 0, runs > 0 else { fail(usage) }
let parent = options["--directory"].map { URL(fileURLWithPath: $0) } ?? FileManager.default.temporaryDirectory

// Before any other thread starts, so that all of them keep off the relay's processor.
let others = Affinity(Affinity.current.cores.filter { $0 != core })
guard !others.cores.isEmpty else { fail("relay-throughput needs a processor besides \(core) for itself\n") }
try others.apply()

let relay = try RelayProcess(hulda: hulda, listen: "127.90.0.1:7420", parent: parent)
do {
    let driver = try Driver(
        relay: PeerLink(text: relay.peer), address: SocketAddress(v4: (127, 91, 0, 1), port: 7420),
        check: { try relay.check() })
    try relay.add(peer: driver.peer.text)
    try relay.start(core: core)
    try await driver.connect()
    // Connections, tables and the allocator's pools grow to their size before the clock runs.
    _ = try await driver.run(count: 2000, window: window)

    let floor = RelayFloor()
    var results = Results()
    var lost = 0
    for _ in 0..<runs {
        let envelopes = try driver.prepare(count: count)
        // On the relay's processor, which is idle now.
        let bound = try measureFloor(floor, on: core)
        let before = try relay.cpuTime()
        let run = try await driver.run(envelopes, window: window)
        let used = try relay.cpuTime() - before
        guard run.received > 0 else { throw RelayProcess.Failure("no envelope came through the relay") }
        lost += count - run.received
        let perEnvelope = (used.user + used.system) / Double(run.received) * 1e6
        results.add("throughput", Double(run.received) / run.seconds, "envelopes/s", digits: 0)
        results.add("relay's CPU time per envelope", perEnvelope, "µs")
        results.add("  in user mode", used.user / Double(run.received) * 1e6, "µs")
        results.add("  in the kernel", used.system / Double(run.received) * 1e6, "µs")
        results.add("bare libsodium per envelope", bound, "µs")
        results.add("relay / bare libsodium", perEnvelope / bound, "", digits: 2)
        results.add("outside libsodium", (1 - bound / perEnvelope) * 100, "% of the CPU time")
        results.add("relay's processor busy", (used.user + used.system) / run.seconds * 100, "%", digits: 0)
        results.add("resident", Double(try relay.memory()["VmRSS"] ?? 0) / 1024, "MiB")
    }
    print("\(runs) runs of \(count) envelopes, \(window) under way, \(lost) lost")
    results.print()

    if options["--perf"] != nil {
        let sampled = try driver.prepare(count: count)
        let profile = try await Profile.record(pid: relay.pid, in: relay.directory) {
            _ = try await driver.run(sampled, window: window)
        }
        if let profile {
            print(String(format: "outside libsodium by perf: %.1f %%", profile.outside * 100))
            for (name, share) in profile.shares.prefix(8) { print(String(format: "  %.1f %%  ", share * 100) + name) }
        } else {
            print("perf cannot be used here")
        }
    }
    try await driver.close()
} catch {
    relay.stop()
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
relay.stop()

/// Synchronous: the thread that is bound must be the one that measures.
func measureFloor(_ floor: RelayFloor, on core: Int) throws -> Double {
    let before = Affinity.current
    try Affinity([core]).apply()
    let time = floor.measure()
    try before.apply()
    return time
}
