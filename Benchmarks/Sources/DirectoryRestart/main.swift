import Directory
import DirectoryClient
import Foundation
import Primitives
import Records
import Relays
import Wire

// How soon a node that holds many directory records serves them after a start. See Benchmarks/README.md.
let usage = "usage: directory-restart HULDA [RECORDS [RUNS]]\n"
let arguments = CommandLine.arguments.dropFirst()
let numbers = arguments.dropFirst().map { Int($0) ?? 0 }
let (count, runs) = (numbers.first ?? 1_000_000, numbers.dropFirst().first ?? 3)
guard let hulda = arguments.first, (1000...2_000_000).contains(count), (1...20).contains(runs) else {
    FileHandle.standardError.write(Data(usage.utf8))
    exit(64)
}

/// Lets the system forget the store's pages, as after a start of the machine.
func dropPages(_ path: String) throws {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { throw Failure("cannot open \(path)") }
    defer { close(file) }
    guard fsync(file) == 0, posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0 else {
        throw Failure("cannot drop the pages of \(path)")
    }
}

/// Asks until the record comes.
func get(_ key: VerifyingKey, epoch: UInt64, of server: Server, _ lane: Lane) throws {
    let request = DirectoryMessage.get(key: key, epoch: epoch).encode()
    let clock = ContinuousClock()
    let limit = clock.now + .seconds(60)
    var call: UInt64 = 0
    var asked: ContinuousClock.Instant?
    while clock.now < limit {
        // A socket that nobody listens to answers nothing: ask anew soon.
        if asked.map({ clock.now - $0 > .milliseconds(20) }) ?? true {
            asked = clock.now
            call += 1
            _ = lane.call(call, server, request)
        }
        var polled = pollfd(fd: lane.descriptor, events: Int16(POLLIN), revents: 0)
        poll(&polled, 1, 2)
        for (_, body) in lane.receive() {
            if let body, case .record = try DirectoryMessage(decoding: body) { return }
        }
    }
    throw Failure("no record came within a minute")
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

let node = try RelayProcess(
    hulda: hulda, listen: "127.91.0.1:7421", parent: FileManager.default.temporaryDirectory)
defer { node.stop() }
do {
    let mebibytes = max(64, count / 500)
    try node.set("records", to: max(1000, count))
    try node.set("store_mib", to: mebibytes)
    let store = node.directory.appendingPathComponent("store").path
    let clock = ContinuousClock()
    var keys: [VerifyingKey] = []
    var epoch: UInt64 = 0
    let filling = try clock.measure {
        let filler = try Filler(path: store, mebibytes: mebibytes, records: count)
        try filler.fill(count)
        (keys, epoch) = (filler.keys, filler.epoch)
    }
    guard let server = Server(try PeerLink(text: node.peer)) else { throw Failure("the node has no address") }
    print("\(count) records, each checked and stored by the core, in \(Int(filling / .seconds(1))) s")
    var entropy = Entropy.system()
    var times: [Double] = []
    for run in 1...runs {
        try dropPages(store + "/data.mdb")
        let lane = try Lane(host: (127, 92, 0, 1))
        let time = try clock.measure {
            try node.start(core: nil)
            try get(keys[entropy.below(keys.count)], epoch: epoch, of: server, lane)
        }
        let first = try node.memory()
        let rest = try clock.measure {
            for _ in 0..<1000 { try get(keys[entropy.below(keys.count)], epoch: epoch, of: server, lane) }
        }
        try node.check()
        let memory = try node.memory()
        times.append(time / .milliseconds(1))
        print(
            "run \(run): first record after \(Int(time / .milliseconds(1))) ms, resident "
                + "\(first["VmRSS"] ?? 0) kB, of it anonymous \(first["RssAnon"] ?? 0) kB; after 1000 more, one after "
                + "the other in \(Int(rest / .milliseconds(1))) ms: \(memory["VmRSS"] ?? 0) and "
                + "\(memory["RssAnon"] ?? 0) kB")
        node.end()
    }
    print("median of \(runs) runs: \(Int(median(times))) ms from the start of the process to the first record")
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    node.stop()
    exit(1)
}
