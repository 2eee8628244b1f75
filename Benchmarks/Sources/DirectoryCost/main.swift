import Directory
import DirectoryClient
import Foundation
import LMDB
import Link
import Operations
import Primitives
import Records
import Storage
import Transport
import Wire

// CPU time of a directory server from datagram to datagram, without sockets. See Benchmarks/README.md.

/// Seconds of CPU time of this thread.
func cpuTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// The least mean of some rounds, in microseconds: whatever else runs on the machine only adds.
func least(_ rounds: Int, _ round: () throws -> (seconds: Double, count: Int)) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<rounds {
        let (seconds, count) = try round()
        best = min(best, seconds / Double(count) * 1e6)
    }
    return best
}

/// Calls whose requests are made before, and whose answers are read after, the server's time is taken.
final class Caller {
    private static let address = SocketAddress(v4: (127, 0, 0, 1), port: 9)
    private static let own = SocketAddress(v4: (127, 0, 0, 2), port: 9)
    private var entropy = Entropy.system()
    private var endpoint: DatagramEndpoint
    private var nextCall: UInt64 = 0

    init() { endpoint = DatagramEndpoint(key: X25519PrivateKey(&entropy), entropy: &entropy) }

    func request(_ message: DirectoryMessage, of server: X25519PublicKey, now: Timestamp) throws -> [UInt8] {
        nextCall += 1
        for case .send(let datagram, _) in endpoint.call(
            nextCall, to: Caller.address, peer: server, request: message.encode(), now: now, entropy: &entropy)
        {
            return datagram
        }
        throw Failure("no request was made")
    }

    func read(_ datagrams: [[UInt8]], now: Timestamp) throws {
        for datagram in datagrams {
            for case .answered(_, let body) in endpoint.receive(
                datagram, from: Caller.address, now: now, entropy: &entropy)
            {
                guard case .record = try DirectoryMessage(decoding: body) else { break }
                return
            }
        }
        throw Failure("no record came")
    }

    static func ask(
        _ server: DatagramServer, _ requests: [[UInt8]], now: inout Timestamp, step: UInt64
    ) throws -> (answers: [[[UInt8]]], seconds: Double) {
        var answers: [[[UInt8]]] = []
        answers.reserveCapacity(requests.count)
        let started = cpuTime()
        for request in requests {
            answers.append(try server.receive(request, from: own, now: now))
            now = now.adding(milliseconds: step)
        }
        return (answers, cpuTime() - started)
    }
}

/// Records in a store on disk, as a holder keeps them.
func fill(_ path: String, _ count: Int) throws -> (LMDBEnvironment, [VerifyingKey], UInt64) {
    let tables = ["records", "expiry", "floors", "quotas", "evidence", "contacts"].map {
        Table(named: "directory/\($0)")
    }
    let shared = ["values", "rounds", "history", "evidence"].map { Table(named: "shared/\($0)") }
    let store = try LMDBEnvironment(path: path, mapSize: 64 << 20, tables: tables + shared, noSync: true)
    var entropy = Entropy.system()
    let now = Timestamp.now()
    let keys = try (0..<count).map { _ in
        let user = SigningKey(&entropy)
        let body = RecordBody(
            home: entropy.bytes(), account: entropy.bytes(), sealing: X25519PublicKey(entropy.bytes()),
            operational: VerifyingKey(entropy.bytes()), operationalExpiry: now.seconds + 86_400, policy: 1,
            prekeys: Bytes32(), user: user)
        let record = try DirectoryRecord.seal(
            body: body, user: user, epoch: now.epoch, sequence: 1, entropy: &entropy)
        try store.write { (store: inout LMDBTransaction) throws(StorageError) in
            try store.put(tables[0], record.blindedKey.bytes.bytes, record.encode())
        }
        return record.blindedKey
    }
    return (store, keys, now.epoch)
}

let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hulda-cost-\(getpid())").path
defer { try? FileManager.default.removeItem(atPath: folder) }
let (store, keys, epoch) = try fill(folder, 1000)
var now = Timestamp.now()
let server = try DatagramServer(store: store, now: now)
let operations = Operation.bareDatagrams()
func get(_ number: Int) -> DirectoryMessage { .get(key: keys[number % keys.count], epoch: epoch) }

let caller = Caller()
let (greeting, _) = try Caller.ask(
    server, [caller.request(get(0), of: server.linkKey, now: now)], now: &now, step: 11)
try caller.read(greeting[0], now: now)
let inSession = try least(20) {
    let requests = try (0..<2000).map { try caller.request(get($0), of: server.linkKey, now: now) }
    let (answers, seconds) = try Caller.ask(server, requests, now: &now, step: 0)
    for answer in answers { try caller.read(answer, now: now) }
    now = now.adding(milliseconds: 1000)
    return (seconds, requests.count)
}
let bareGet = least(20) { measureBare(operations.get, 2000) }

let cold = try least(10) {
    let callers = (0..<200).map { _ in Caller() }
    let requests = try callers.enumerated().map { number, caller in
        try caller.request(get(number), of: server.linkKey, now: now.adding(milliseconds: UInt64(11 * number)))
    }
    let (answers, seconds) = try Caller.ask(server, requests, now: &now, step: 11)
    for (caller, answer) in zip(callers, answers) { try caller.read(answer, now: now) }
    return (seconds, requests.count)
}
let bareHandshake = least(10) { measureBare(operations.handshake, 200) }

func measureBare(_ body: () -> Void, _ count: Int) -> (seconds: Double, count: Int) {
    let started = cpuTime()
    for _ in 0..<count { body() }
    return (cpuTime() - started, count)
}

func row(_ name: String, _ time: Double, _ bare: Double, _ what: String) {
    print(
        name + String(format: ": %.1f µs of CPU, %.1f µs of it ", time, bare) + what
            + String(format: ", ratio %.2f", time / bare))
}
row("get in a session", inSession, bareGet, "one ChaCha20-Poly1305 open and one seal of 1,203 bytes")
row("get with handshake", cold, bareHandshake, "four X25519 multiplications and one of the base point")
