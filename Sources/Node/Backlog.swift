import NIOConcurrencyHelpers

/// How much is on its way from link event loops to the loop that owns a core.
///
/// A loop takes tasks without bound, and a core may be busy for seconds while links go on; what comes beyond the limit
/// is for the caller to drop and count. Spec: specs/overview.md, "Threads of a node".
final class Backlog: Sendable {
    let limit: Int
    private let waiting = NIOLockedValueBox(0)

    init(limit: Int) { self.limit = limit }

    var count: Int { waiting.withLockedValue { $0 } }

    /// Takes a place; false when there is none.
    func enter() -> Bool {
        waiting.withLockedValue { waiting in
            guard waiting < limit else { return false }
            waiting += 1
            return true
        }
    }

    /// Gives back a place that was taken.
    func leave() { waiting.withLockedValue { $0 -= 1 } }
}
