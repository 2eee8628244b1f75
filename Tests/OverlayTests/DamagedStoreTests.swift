import Foundation
import Fuzz
import LMDB
import Primitives
import Records
import Storage
import Testing
import Transport
import Wire

@testable import Agent
@testable import Correspondence

/// Damage of a file, as a medium or a stray write makes it.
private struct Damage {
    static let modes = ["5 bits", "200 bytes", "meta pages", "one page"]
    let mode: String
    let bytes: [UInt8]

    init(_ bytes: [UInt8], seed: Int) {
        var entropy = Entropy(seed: UInt64(seed) + 7000)
        var bytes = bytes
        mode = Damage.modes[seed % Damage.modes.count]
        switch mode {
        case "5 bits": for _ in 0..<5 { bytes[entropy.below(bytes.count)] ^= 1 << UInt8(entropy.below(8)) }
        case "200 bytes":
            for _ in 0..<200 { bytes[entropy.below(bytes.count)] = UInt8(entropy.below(256)) }
        case "meta pages":
            for _ in 0..<10 { bytes[entropy.below(2) * 4096 + entropy.below(160)] = UInt8(entropy.below(256)) }
        default:
            let start = entropy.below(bytes.count / 4096) * 4096
            bytes.replaceSubrange(start..<(start + 4096), with: entropy.array(4096))
        }
        self.bytes = bytes
    }
}

@Suite("A damaged store under the program")
struct DamagedStoreTests {
    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"

    /// An identity with messages that came in many transactions, some of them deleted.
    private struct Inhabited {
        let folder: Folder
        let environment: [String: String]
        var data: String { folder.path + "/agent/store/data.mdb" }

        init(messages: Int) throws {
            folder = try Folder()
            environment = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x"]
            try DamagedStoreTests.peer.write(toFile: folder.path + "/list", atomically: true, encoding: .utf8)
            let made = try Program.run(
                ["id", "new", "--fast-passphrase", "--bootstrap", folder.path + "/list"], environment: environment)
            try #require(made.status == 0, "\(made.errors)")
            let files = AgentFiles(directory: folder.path + "/agent")
            let master = try files.readIdentity().master(.passphrase(SharedSecret(utf8: "x")))
            var store = try SealedStore(try files.openStore(creates: false), master: master)
            var entropy = Entropy(seed: 7_100)
            var inbox = try Inbox(store)
            let sender = NetworkID(key: SigningKey(&entropy).publicKey)
            let now = Timestamp.now()
            for number in 0..<messages {
                let text = "message \(number) " + String(repeating: "x", count: entropy.below(900))
                let fragment = SealedFragment(
                    sender: sender, messageID: entropy.bytes(), kind: .text, index: 0, count: 1, sent: now,
                    part: Array(text.utf8))
                let outcome = try inbox.take(fragment, AgentConfiguration(), now: now, &store)
                if number % 7 == 3, case .stored(let message) = outcome {
                    _ = try inbox.delete(.message(message.messageID), &store)
                }
                if number % 3 == 0 { try store.commit(&entropy) }
            }
            try store.commit(&entropy)
        }

        func texts() throws -> (status: Int32, texts: [String], errors: String) {
            let output = try Program.run(["inbox", "--stored", "--json"], environment: environment)
            let texts = try output.text.split(separator: "\n").map {
                try JSONDecoder().decode(User.Message.self, from: Data($0.utf8)).text
            }
            return (output.status, texts, output.errors)
        }

        func restore(_ bytes: [UInt8]) throws {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path + "/agent/store")
            where name.hasPrefix("damaged-") {
                try FileManager.default.removeItem(atPath: folder.path + "/agent/store/" + name)
            }
            try Data(bytes).write(to: URL(fileURLWithPath: data))
        }
    }

    @Test("of an agent ends no command in a signal; what is damaged is named, and the rest is read")
    func agent() throws {
        let agent = try Inhabited(messages: 120)
        let whole = [UInt8](try #require(FileManager.default.contents(atPath: agent.data)))
        let all = try agent.texts()
        try #require(all.status == 0 && all.texts.count > 90)
        print("damage of an agent's store: seeds 0 to 79, file of \(whole.count) bytes")
        var tally: [String: Int] = [:]
        for seed in 0..<80 {
            let damage = Damage(whole, seed: seed)
            try agent.restore(damage.bytes)
            let found = try agent.texts()
            let comment = Comment(rawValue: "seed \(seed), \(damage.mode): \(found.status) \(found.errors)")
            #expect(Set(found.texts).isSubset(of: all.texts), comment)
            switch found.status {
            case 0 where found.errors.isEmpty:
                #expect(found.texts == all.texts, comment)
                tally["nothing that is stored was hit", default: 0] += 1
            case 0:
                #expect(found.errors.contains("the store was damaged"), comment)
                if found.errors.contains("Nothing is lost.") { #expect(found.texts == all.texts, comment) }
                if found.texts.count < all.texts.count { #expect(!found.errors.contains("Nothing is lost."), comment) }
                let kind = found.texts == all.texts ? "named, every message read" : "named, the rest read"
                tally[kind, default: 0] += 1
                tally["messages lost", default: 0] += all.texts.count - found.texts.count
                let again = try agent.texts()
                #expect(again.status == 0 && again.texts == found.texts && again.errors.isEmpty, comment)
            default:
                #expect(found.status == 65 && found.errors.contains("damaged"), comment)
                tally["refused with a reason", default: 0] += 1
            }
        }
        print("damage of an agent's store: \(tally.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" })")
        #expect(tally["refused with a reason", default: 0] <= 8, "nearly always something is left")
    }

    @Test("of a node ends it in no signal: it runs on with what is left and says what is lost, or says why it cannot")
    func node() throws {
        let folder = try Folder()
        let data = folder.path + "/node"
        let made = try Program.run(["node", "init", data, "--name", "one", "--listen", "127.191.0.1:7411"])
        try #require(made.status == 0, "\(made.errors)")
        let first = try Running(["node", "run", "--config", data + "/node.toml"])
        #expect(try first.says("listening"))
        first.signal(SIGTERM)
        #expect(first.end() == 0 && !first.errors.contains("damaged"))
        print("damage of a node's stores: seeds 0 to 31")
        var tally: [String: Int] = [:]
        for seed in 0..<32 {
            let path = data + (seed % 8 < 4 ? "/store/data.mdb" : "/replay/data.mdb")
            let whole = [UInt8](try #require(FileManager.default.contents(atPath: path)))
            let damage = Damage(whole, seed: seed)
            try Data(damage.bytes).write(to: URL(fileURLWithPath: path))
            let node = try Running(["node", "run", "--config", data + "/node.toml"])
            let runs = try node.says("listening")
            node.signal(SIGTERM)
            let code = node.end()
            let comment = Comment(rawValue: "seed \(seed), \(damage.mode): \(code) \(node.errors)")
            if runs {
                #expect(code == 0, comment)
                tally[node.errors.contains("was damaged") ? "named" : "nothing that is stored was hit", default: 0] += 1
            } else {
                #expect(code == 74 && node.errors.contains("is damaged"), comment)
                tally["refused with a reason", default: 0] += 1
                try Data(whole).write(to: URL(fileURLWithPath: path))
            }
        }
        print("damage of a node's stores: \(tally.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" })")
    }
}
