import Glibc

/// When a direct lookup, which asks all holders at once, has enough answers: a sequential test between "whoever has
/// answered lies" and "most of them are honest" (specs/directory.md, "Direct lookups").
///
/// A replaced record is believed when all that sent a record by then are liars. With three liars in ten, of whom L are
/// among the m holders and answer when it suits them, the honest must all have been slow: they have answered by a time
/// with a probability of at least F, so this has C(m, L) · p^L · ((1 − p)(1 − F))^(m−L). The test waits with L answers
/// until that is at most the share C(m, L) · s^L · (1 − s)^(m−L) of the whole ``risk``, so that all L together do not
/// exceed it, whatever the liars do. Of all that were asked so far, a share u had answered by that time; liars may all
/// have hurried, so (1 − p)(1 − F) is at most 1 − u, and the coefficients cancel.
package struct AnswerTest: Sendable {
    /// p: of the servers, so many lie at most.
    package static let liars = 0.3
    /// With what probability a replaced record is believed at worst, when the shares of answers are known well.
    package static let risk = 5e-5
    /// s: where the risk is spent, around the number of answers at which a lookup of an honest network ends.
    private static let usual = 0.65

    /// For so many answers, the milliseconds after which they are enough.
    private let due: [UInt64?]

    /// `nil` when too few answers were seen, or for so few holders that no number of answers would be enough.
    package init?(_ times: AnswerTimes, holders: Int) {
        guard times.count >= AnswerTimes.least, let wanted = AnswerTest.shares(holders: holders) else { return nil }
        due = times.milliseconds(until: wanted)
    }

    /// For each number of answers, from 0 on, which share of all servers must have answered in this time before: the more
    /// answers there are, the smaller it may be.
    package static func shares(holders: Int) -> [Double]? {
        let ratio = usual / liars
        guard holders <= 20, risk * pow(ratio, Double(holders)) > 1 else { return nil }
        return (0...holders).map { answers in
            guard answers < holders else { return 0 }
            let silent = 1 / Double(holders - answers)
            let latest = (1 - usual) * pow(risk * pow(ratio, Double(answers)), silent)
            return latest >= 1 - liars ? 0 : 1 - latest
        }
    }

    /// Milliseconds after asking from which so many answers are enough; `nil` when they never are.
    package func due(_ answers: Int) -> UInt64? {
        guard answers > 0, let last = due.last else { return nil }
        return answers < due.count ? due[answers] : last
    }
}
