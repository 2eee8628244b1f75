import CAllocations
import Glibc
import Operations

/// What the runs of one operation cost. Times are in nanoseconds per run, of this thread's CPU time.
struct Measurement {
    let operation: Operation
    let construction: Double
    let primitives: Double
    /// The median of the ratios of neighbouring batches, so that a slow moment of the machine weighs on both.
    let ratio: Double
    let allocations: Double

    init(_ operation: Operation, rounds: Int) {
        self.operation = operation
        for _ in 0..<3 {
            _ = Measurement.time(operation.batch, operation.construction)
            _ = Measurement.time(operation.batch, operation.primitives)
        }
        var constructions: [Double] = []
        var primitives: [Double] = []
        var ratios: [Double] = []
        for round in 0..<rounds {
            let first = round % 2 == 0
            let early = Measurement.time(operation.batch, first ? operation.construction : operation.primitives)
            let late = Measurement.time(operation.batch, first ? operation.primitives : operation.construction)
            constructions.append(first ? early : late)
            primitives.append(first ? late : early)
            ratios.append(first ? early / late : late / early)
        }
        construction = Measurement.median(constructions)
        self.primitives = Measurement.median(primitives)
        ratio = Measurement.median(ratios)
        let runs = 100
        let before = hulda_thread_allocations()
        for _ in 0..<runs { operation.construction() }
        allocations = Double(hulda_thread_allocations() - before) / Double(runs)
    }

    /// Whether every target of the operation is met.
    var isMet: Bool {
        if let target = operation.target, ratio > target { return false }
        if let limit = operation.allocations, allocations > Double(limit) { return false }
        return true
    }

    private static func time(_ runs: Int, _ body: () -> Void) -> Double {
        let start = now()
        for _ in 0..<runs { body() }
        return (now() - start) / Double(runs)
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    }
}
