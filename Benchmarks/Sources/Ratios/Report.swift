import Foundation

/// The measurements as a table or as JSON.
enum Report {
    static func table(_ measurements: [Measurement]) -> String {
        let rows = measurements.map { measurement in
            [
                measurement.operation.name, measurement.operation.against,
                microseconds(measurement.construction), microseconds(measurement.primitives),
                String(format: "%.2f", measurement.ratio),
                measurement.operation.target.map { String(format: "<= %.1f", $0) } ?? "-",
                allocations(measurement), measurement.isMet ? "" : "MISSED",
            ]
        }
        let head = ["operation", "against", "µs", "bare µs", "ratio", "target", "mallocs", ""]
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        return ([head] + rows).map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column < 2 ? cell.0 + padding : padding + cell.0
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    static func json(_ measurements: [Measurement]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(measurements.map(Row.init)), as: UTF8.self)
    }

    private struct Row: Encodable {
        let name: String
        let against: String
        let constructionNanoseconds: Double
        let primitivesNanoseconds: Double
        let ratio: Double
        let target: Double?
        let allocations: Double
        let isMet: Bool

        init(_ measurement: Measurement) {
            name = measurement.operation.name
            against = measurement.operation.against
            constructionNanoseconds = measurement.construction
            primitivesNanoseconds = measurement.primitives
            ratio = measurement.ratio
            target = measurement.operation.target
            allocations = measurement.allocations
            isMet = measurement.isMet
        }
    }

    private static func microseconds(_ nanoseconds: Double) -> String { String(format: "%.2f", nanoseconds / 1000) }

    private static func allocations(_ measurement: Measurement) -> String {
        let count = String(format: "%.0f", measurement.allocations)
        return measurement.operation.allocations.map { "\(count) <= \($0)" } ?? count
    }
}
