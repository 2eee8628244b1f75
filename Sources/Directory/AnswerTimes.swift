/// How long the servers took to answer that were asked directly of late: by that a direct lookup knows when it need not
/// wait for more answers (``AnswerTest``).
///
/// Only right answers count. A server that sent none in time, or something else, is noted as silent, for what is to be
/// known is how likely an honest holder of a record has sent it by now. Lookups that found nothing are not noted: there
/// the honest have nothing to send.
package struct AnswerTimes: Sendable {
    /// The last so many servers are remembered, in four kilobytes and two more for the counts.
    package static let limit = 2048
    /// With fewer the share that answered is known too vaguely (specs/directory.md, "Direct lookups").
    package static let least = 512
    /// Milliseconds beyond which an answer is as good as none.
    package static let longest = 1000

    private static let silence = UInt16.max
    private var recent: [UInt16] = []
    /// Where the next one goes once ``limit`` is reached.
    private var oldest = 0
    /// Answers by their whole milliseconds.
    private var counts = [UInt16](repeating: 0, count: AnswerTimes.longest)

    package init() {}

    package var count: Int { recent.count }

    /// - Parameter milliseconds: from the request to the right answer, rounded down; `nil` if none came.
    package mutating func note(_ milliseconds: UInt64?) {
        let value = milliseconds.flatMap { $0 < UInt64(AnswerTimes.longest) ? UInt16($0) : nil } ?? AnswerTimes.silence
        if recent.count < AnswerTimes.limit {
            recent.append(value)
        } else {
            if recent[oldest] != AnswerTimes.silence { counts[Int(recent[oldest])] -= 1 }
            recent[oldest] = value
            oldest = (oldest + 1) % AnswerTimes.limit
        }
        if value != AnswerTimes.silence { counts[Int(value)] += 1 }
    }

    /// Milliseconds after which each share of all servers had answered; `nil` for a share that never did.
    /// - Parameter shares: in descending order.
    package func milliseconds(until shares: [Double]) -> [UInt64?] {
        var found = [UInt64?](repeating: nil, count: shares.count)
        var answered = 0
        var open = shares.count
        for (milliseconds, count) in counts.enumerated() {
            answered += Int(count)
            // What is rounded down to this may have come a millisecond later.
            while open > 0, Double(answered) >= shares[open - 1] * Double(recent.count) {
                open -= 1
                found[open] = UInt64(milliseconds + 1)
            }
        }
        return found
    }
}
