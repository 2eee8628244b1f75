import FoundationEssentials
import Glibc
import Simulator

/// What a simulation cost. It differs from run to run, so it goes to standard error, apart from the figures.
struct SimulationCost: Encodable {
    /// Real seconds.
    let seconds: Double
    let virtualSeconds: Double
    /// Virtual seconds for each real one.
    let speed: Double
    /// Resident memory at its most, less what the process had at the beginning, for each server.
    let bytesPerNode: Double

    /// Takes the time and the memory at the beginning.
    struct Meter {
        private let clock = ContinuousClock()
        private let start: ContinuousClock.Instant
        private let memory: Double

        init() {
            start = clock.now
            memory = SimulationCost.memory("VmRSS:")
        }

        func cost(virtualSeconds: Double, nodes: Int) -> SimulationCost {
            let seconds = (clock.now - start) / .seconds(1)
            let growth = max(0, SimulationCost.memory("VmHWM:") - memory)
            return SimulationCost(
                seconds: seconds, virtualSeconds: virtualSeconds, speed: virtualSeconds / max(seconds, 0.001),
                bytesPerNode: growth / Double(max(1, nodes)))
        }
    }

    var text: String {
        func rounded(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }
        return
            "\(rounded(virtualSeconds)) virtual seconds of the network in \(rounded(seconds)) s: \(rounded(speed)) times real time; "
            + "\(Int(bytesPerNode)) bytes a node"
    }

    /// Bytes on a line of the process's status; 0 where there is none.
    private static func memory(_ field: String) -> Double {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
        let line = text.split(separator: "\n").first { $0.hasPrefix(field) } ?? ""
        return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) }.map { $0 * 1024 }
            ?? 0
    }
}

extension OutputOptions {
    /// Prints a simulation's cost to standard error.
    func print(_ cost: SimulationCost) {
        let line = json ? (try? JSONEncoder().encode(cost)).map { String(decoding: $0, as: UTF8.self) } : cost.text
        if let line { StandardStream.write(line + "\n", to: STDERR_FILENO) }
    }
}
