import Directory
import Primitives
import Records

/// How a directory server of the simulation behaves towards lookups.
public enum DirectoryConduct: String, Sendable, CaseIterable {
    case honest
    /// Takes every request and answers none.
    case silent
    /// Sends a record that was signed for somebody else, or the right one with a bit changed.
    case wrong
    /// Sends the record before the current one, as all its accomplices do.
    case stale
    /// Says that there is no such record.
    case negative

    /// What liars choose from.
    public static let lies: [DirectoryConduct] = [.silent, .wrong, .stale, .negative]
}

/// What colluding servers know together, beyond what each of them holds.
struct Conspiracy: Sendable {
    /// Withheld records by blinded key.
    var stale: [VerifyingKey: [UInt8]] = [:]
    /// Valid records of some users.
    var foreign: [(key: VerifyingKey, record: [UInt8])] = []

    /// A liar's answer to a request for a record; `nil` for silence.
    func answer(_ conduct: DirectoryConduct, _ key: VerifyingKey, entropy: inout Entropy) -> DirectoryMessage? {
        switch conduct {
        case .honest, .silent: return nil
        case .negative: return .missing
        case .stale: return stale[key].map { .record($0) } ?? .missing
        case .wrong:
            if entropy.below(2) == 0, !foreign.isEmpty {
                let other = foreign[entropy.below(foreign.count)]
                if other.key != key { return .record(other.record) }
            }
            guard var bytes = stale[key], !bytes.isEmpty else { return .record([1, 2, 3]) }
            bytes[entropy.below(bytes.count)] ^= 1 << UInt8(entropy.below(8))
            return .record(bytes)
        }
    }
}
