import Benchmark
import Operations

/// Every construction, and under the same name with "bare" the primitives that it is made of; a sample is one batch.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], warmupIterations: 5, maxDuration: .seconds(1))
    do {
        for operation in try Operation.all() {
            let batch = operation.batch
            let configuration = Benchmark.Configuration(
                metrics: [.wallClock, .throughput], warmupIterations: 5, maxDuration: .seconds(1))
            let name = "\(operation.name) (\(operation.against))"
            Benchmark(name, configuration: configuration) { _ in
                for _ in 0..<batch { operation.construction() }
            }
            Benchmark(name + " bare", configuration: configuration) { _ in
                for _ in 0..<batch { operation.primitives() }
            }
        }
    } catch {
        print("an operation cannot be made: \(error)")
    }
}
