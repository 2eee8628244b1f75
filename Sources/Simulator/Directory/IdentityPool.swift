import Directory
import Primitives
import Records

/// Identities that an attacker has tried: he takes those that lie where he wants to be.
struct IdentityPool: Sendable {
    /// Beside what the attacker wants his servers to lie.
    enum Choice {
        /// Where searches without a map look for the record.
        case besideKey
        /// The record's four indices on the circle.
        case besidePlaces
    }

    private struct Identity {
        let seed: UInt64
        /// The beginnings of the node ID and of the place on the circle.
        let id: UInt64
        let place: UInt64
    }

    private let identities: [Identity]
    private let epoch: UInt64

    /// - Parameter tries: how many identities.
    init(_ tries: Int, epoch: UInt64, entropy: inout Entropy) {
        self.epoch = epoch
        identities = (0..<tries).map { _ in
            let seed = entropy.uint64()
            var own = Entropy(seed: seed)
            let id = Node.id(of: SigningKey(&own).publicKey)
            return Identity(seed: seed, id: id.firstWord, place: Placement.place(of: id, epoch: epoch).firstWord)
        }
    }

    /// Seeds of the identities that suit best for one key.
    func best(_ count: Int, for key: VerifyingKey, _ choice: Choice) -> [UInt64] {
        let ways: [(way: UInt64, seed: UInt64)]
        switch choice {
        case .besideKey:
            let target = DirectoryCore.kademliaTarget(of: key, epoch: epoch).firstWord
            ways = identities.map { ($0.id ^ target, $0.seed) }
        case .besidePlaces:
            let starts = (0..<Placement.rings).map { Placement.place(of: key, ring: $0).firstWord }
            ways = identities.map { identity in
                (starts.map { identity.place &- $0 }.min() ?? .max, identity.seed)
            }
        }
        // Of many identities only those near enough are put in order.
        let reach = Double(4 * count) / Double(max(1, identities.count))
        let near = reach < 1 ? ways.filter { Double($0.way) < reach * 0x1p64 } : ways
        return (near.count < count ? ways : near).sorted { $0.way < $1.way }.prefix(count).map(\.seed)
    }

    /// Identities among which an honest network has so many servers, nearest first, or in any order.
    func around(_ target: UInt64, part: Double) -> [UInt64] {
        let region = UInt64(min(part, 0.999) * 0x1p64)
        return identities.filter { $0.id ^ target < region }.sorted { $0.id ^ target < $1.id ^ target }.map(\.seed)
    }
}
