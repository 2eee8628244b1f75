import Foundation
import Operations

// What the constructions cost beside the primitives that they are made of. See Benchmarks/README.md.
let usage = "usage: Ratios [--rounds N] [--json] [--check]\n"
var rounds = 400
var isJSON = false
var isCheck = false

var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    switch argument {
    case "--json": isJSON = true
    case "--check": isCheck = true
    case "--rounds":
        guard let value = arguments.popFirst().flatMap({ Int($0) }), value > 0 else {
            FileHandle.standardError.write(Data(usage.utf8))
            exit(64)
        }
        rounds = value
    default:
        FileHandle.standardError.write(Data(usage.utf8))
        exit(64)
    }
}

let measurements = try Operation.all().map { Measurement($0, rounds: rounds) }
print(isJSON ? try Report.json(measurements) : Report.table(measurements))
exit(isCheck && !measurements.allSatisfy(\.isMet) ? 1 : 0)
