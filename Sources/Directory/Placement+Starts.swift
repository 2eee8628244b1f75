import Primitives
import Records
import Synchronization

/// Where the rings of a record begin.
extension Placement {
    /// For each ring the first place at or after the record's index.
    struct Starts: Sendable {
        var places = InlineArray<4, Int>(repeating: 0)

        /// How far a place lies behind the beginning of a ring, clockwise.
        func steps(to place: Int, ring: Int, of size: Int) -> Int {
            let steps = place - places[ring]
            return steps < 0 ? steps + size : steps
        }
    }

    /// Starts that were computed before.
    final class StartMemory: Sendable {
        /// When there are so many, all are forgotten.
        static let limit = 1 << 20
        private let known = Mutex<[VerifyingKey: Starts]>([:])

        func starts(_ key: VerifyingKey, _ compute: () -> Starts) -> Starts {
            known.withLock { known in
                if let starts = known[key] { return starts }
                if known.count >= StartMemory.limit { known = [:] }
                let starts = compute()
                known[key] = starts
                return starts
            }
        }
    }

    /// The same placement, which remembers where the rings of each key begin: for many servers in one process that ask
    /// for the same keys again and again.
    public func remembering() -> Placement {
        var placement = self
        placement.memory = StartMemory()
        return placement
    }

    func starts(of key: VerifyingKey) -> Starts {
        guard let memory else { return computedStarts(of: key) }
        return memory.starts(key) { computedStarts(of: key) }
    }

    private func computedStarts(of key: VerifyingKey) -> Starts {
        var starts = Starts()
        guard !ordered.isEmpty else { return starts }
        for ring in 0..<Placement.rings { starts.places[ring] = start(Placement.index(of: key, ring: ring)) }
        return starts
    }
}
