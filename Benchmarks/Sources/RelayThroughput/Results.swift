import Foundation

/// One figure's values over all runs.
struct Results {
    private var values: [(name: String, unit: String, digits: Int, values: [Double])] = []

    mutating func add(_ name: String, _ value: Double, _ unit: String, digits: Int = 1) {
        if let index = values.firstIndex(where: { $0.name == name }) {
            values[index].values.append(value)
        } else {
            values.append((name, unit, digits, [value]))
        }
    }

    func print() {
        func pad(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        Swift.print("".padding(toLength: 34, withPad: " ", startingAt: 0) + "       min    median       max")
        for line in values {
            let sorted = line.values.sorted()
            guard let first = sorted.first, let last = sorted.last else { continue }
            let columns = [first, sorted[sorted.count / 2], last].map {
                pad(String(format: "%.\(line.digits)f", $0), 10)
            }
            Swift.print(
                line.name.padding(toLength: 34, withPad: " ", startingAt: 0) + columns.joined() + "  " + line.unit)
        }
    }
}
