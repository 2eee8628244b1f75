import Benchmark
import Operations

/// Every construction and the primitives that it is made of, under the same name.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .cpuTotal], warmupIterations: 5, maxDuration: .seconds(1))
    do {
        for operation in try Operation.all() {
            let batch = operation.batch
            let configuration = Benchmark.Configuration(
                metrics: [.wallClock, .cpuTotal], warmupIterations: 5, maxDuration: .seconds(1))
            Benchmark(operation.name, configuration: configuration) { _ in
                for _ in 0..<batch { operation.construction() }
            }
            Benchmark(operation.name + ", bare: " + operation.against, configuration: configuration) { _ in
                for _ in 0..<batch { operation.primitives() }
            }
        }
    } catch {
        print("an operation cannot be made: \(error)")
    }
}
