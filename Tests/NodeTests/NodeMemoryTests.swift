import Foundation
import Fuzz
import Primitives
import Relay
import Testing
import Transport
import Wire

@testable import Node

@Suite("A node's keys in memory", .serialized)
struct NodeMemoryTests {
    @Test("lie in one place each, when they were made and when they were read again")
    func keys() throws {
        let path = try folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let scan = MemoryScan()
        var entropy = Entropy.system()
        let now = Timestamp.now()
        let names = ["cluster", "server", "link", "mix-\(now.epoch)", "mix-\(now.epoch + 1)"]
        func places() throws -> [Int] {
            try names.map { name in
                let key = try KeyFile.load("\(path)/\(name).key", count: 32)
                return try scan.count(key)
            }
        }
        let keys = try NodeKeys(directory: path, now: now, entropy: &entropy)
        let ring = try MixKeyStore(directory: path).load(now: now, entropy: &entropy)
        #expect(try places() == [1, 1, 1, 1, 1])
        let again = try NodeKeys(directory: path, now: now, entropy: &entropy)
        let ringAgain = try MixKeyStore(directory: path).load(now: now, entropy: &entropy)
        #expect(try places() == [2, 2, 2, 2, 2])
        withExtendedLifetime((keys, ring, again, ringAgain)) {}
    }
}
