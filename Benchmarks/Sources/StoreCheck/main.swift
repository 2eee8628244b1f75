import Foundation
import LMDB
import Storage

/// How long the walk over a store takes that comes before LMDB opens it (specs/overview.md, "Damage"), and what a salvage
/// takes.
///
/// Usage: store-check DIRECTORY MEBIBYTES [VALUE-BYTES]. The file is in the system's cache; after
/// `echo 3 > /proc/sys/vm/drop_caches`, run it again on the same directory for a cold one.
let arguments = CommandLine.arguments
guard arguments.count >= 3, let mebibytes = Int(arguments[2]), mebibytes > 0 else {
    FileHandle.standardError.write(Data("usage: store-check DIRECTORY MEBIBYTES [VALUE-BYTES]\n".utf8))
    exit(64)
}
let size = arguments.count > 3 ? Int(arguments[3]) ?? 1000 : 1000
let table = Table("records")

func open() throws -> LMDBEnvironment {
    try LMDBEnvironment(path: arguments[1], mapSize: (mebibytes + 64) * 2 << 20, tables: [table], noSync: true)
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
}

func fill() throws {
    let environment = try open()
    var number: UInt64 = 0
    while environment.usedBytes < mebibytes << 20 {
        try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
            for _ in 0..<5000 {
                number += 1
                // Spread over the keys, as hashes are.
                let key = withUnsafeBytes(of: (number &* 0x9e37_79b9_7f4a_7c15).bigEndian) { Array($0) }
                try transaction.put(table, key, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))
            }
        }
    }
}

if try open().usedBytes < mebibytes << 20 { try fill() }
var used = 0
for _ in 0..<3 {
    let time = try seconds { used = try open().usedBytes }
    print("opening \(used >> 20) MiB of values of \(size) bytes: \((time * 1000).rounded() / 1000) s")
}
let data = arguments[1] + "/data.mdb"
let file = try FileHandle(forUpdating: URL(fileURLWithPath: data))
try file.seek(toOffset: UInt64(used / 2 / 4096 * 4096))
try file.write(contentsOf: Data(repeating: 0xff, count: 4096))
try file.close()
let time = try seconds {
    let environment = try open()
    if case .salvaged(let damage) = environment.origin { print("salvaged: \(damage.losses)") }
    try environment.acknowledgeOrigin()
}
print("salvage: \((time * 1000).rounded() / 1000) s")
