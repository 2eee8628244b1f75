import Directory
import Primitives
import Records
import Wire

/// How a server of a world behaves. Liars run the real cores too: what they say is changed on its way out.
public enum Conduct: String, Codable, Sendable, CaseIterable {
    case honest
    /// Takes everything and says nothing.
    case silent
    /// Changes a bit of whatever it says or passes on.
    case wrong
    /// Answers with the first record that it ever had under a key.
    case stale
    /// Answers every directory request with itself.
    case itself
    /// Says half of everything.
    case half
    /// Passes every envelope on once more later.
    case replaying
    /// Sends descriptors with every frame of the map that are forged or whose time is over.
    case forging
    /// Sends records of days to come, or that last too long, with every request to a directory.
    case future
    /// Belongs to an operator whom nobody of the network endorses; such operators endorse each other in a circle.
    case stranger
    /// Stops in the middle of a frame on each stream.
    case stalling
    /// Passes on one envelope a second, and states that it passes on as many as anybody.
    case boasting
}

/// A liar's memory and tongue.
struct Liar {
    /// Envelopes that a ``Conduct/boasting`` server passes on in a second.
    static let boasted = 1

    let conduct: Conduct
    private var firstRecords: [VerifyingKey: [UInt8]] = [:]

    init(_ conduct: Conduct) { self.conduct = conduct }

    /// Bytes that leave the server: an envelope, or a frame of the map; `nil` for nothing.
    func says(_ bytes: [UInt8], _ entropy: inout Entropy) -> [UInt8]? {
        switch conduct {
        case .honest, .stale, .itself, .replaying, .forging, .future, .stranger, .stalling, .boasting: return bytes
        case .silent: return nil
        case .half: return Array(bytes.prefix(bytes.count / 2))
        case .wrong:
            var changed = bytes
            if !changed.isEmpty { changed[entropy.below(changed.count)] ^= 1 << UInt8(entropy.below(8)) }
            return changed
        }
    }

    /// A directory request has come: `stale` remembers the records in it.
    mutating func hears(_ message: [UInt8]) {
        guard conduct == .stale, let record = (try? DirectoryMessage(decoding: message))?.recordPut,
            firstRecords.count < 4096, firstRecords[record.blindedKey] == nil
        else { return }
        firstRecords[record.blindedKey] = record.encode()
    }

    /// The answer to a directory request instead of the honest one.
    func answers(
        _ request: [UInt8], _ honest: [UInt8], contact: Contact, descriptor: [UInt8], _ entropy: inout Entropy
    ) -> [UInt8]? {
        guard conduct == .stale || conduct == .itself, let asked = try? DirectoryMessage(decoding: request) else {
            return says(honest, &entropy)
        }
        switch (conduct, asked) {
        case (.stale, .get(let key, _)), (.stale, .findValue(let key, _, _)), (.stale, .iterate(let key, _)):
            return firstRecords[key].map { DirectoryMessage.record($0).encode() } ?? honest
        case (.itself, _):
            let contacts = [Contact](repeating: contact, count: DirectoryMessage.contactLimit)
            return DirectoryMessage.nodes(descriptor: descriptor, contacts).encode()
        default: return honest
        }
    }
}
