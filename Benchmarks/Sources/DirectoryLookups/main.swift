import DirectoryClient
import Federation
import Foundation

// Lookups at real directory servers, for Benchmarks/peers/run, which starts the servers and measures their time.
let usage = """
    usage: directory-lookups BOOTSTRAP-LIST NETWORK RECORDS

      BOOTSTRAP-LIST  peer links of the servers, as `hulda testbed up` writes it
      NETWORK         the client's addresses are 127.NETWORK.0.1 and the following three
      RECORDS         records to make and to put to their holders

    Then for each line `MODE COUNT WINDOW` of standard input (MODE: one, eight, cold) it makes so many lookups and prints
    what came of them as a line of JSON.

    """

struct Report: Encodable {
    let found: Int
    let answers: Int
    let seconds: Double
    let median: Double
    let p99: Double
}

func print(_ value: some Encodable) throws {
    FileHandle.standardOutput.write(try JSONEncoder().encode(value) + Data("\n".utf8))
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count == 3, let path = arguments.first,
    let network = arguments.dropFirst().first.flatMap({ UInt8($0) }),
    let count = arguments.last.flatMap({ Int($0) }), (1...10_000).contains(count), network <= 250
else {
    FileHandle.standardError.write(Data(usage.utf8))
    exit(64)
}
do {
    let list = try BootstrapList(text: String(contentsOfFile: path, encoding: .utf8))
    let client = try Client(network: network)
    try client.meet(list.links)
    try print(["record": client.publish(count)])
    while let line = readLine() {
        let words = line.split(separator: " ")
        guard words.count == 3, let mode = Lookups.Mode(rawValue: String(words[0])), let lookups = Int(words[1]),
            let window = Int(words[2]), lookups > 0, window > 0
        else { throw Failure("what is \(line)?") }
        let result = try Lookups.run(client, mode, count: lookups, window: window)
        let times = result.milliseconds.sorted()
        func quantile(_ share: Double) -> Double { times.isEmpty ? 0 : times[Int(share * Double(times.count - 1))] }
        try print(
            Report(
                found: result.found, answers: result.answers, seconds: result.seconds, median: quantile(0.5),
                p99: quantile(0.99)))
    }
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
