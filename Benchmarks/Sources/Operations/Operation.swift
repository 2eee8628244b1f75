/// One construction of the project and the bare primitives that it cannot do without.
public struct Operation {
    public let name: String
    /// What the bare primitives are, for the table.
    public let against: String
    /// The construction's time must stay below this many times the primitives'; `nil` where none was agreed.
    public let target: Double?
    /// Calls of malloc per run that are allowed; `nil` where none was agreed.
    public let allocations: Int?
    /// Runs between two looks at the clock, so that one look is some hundred microseconds.
    public let batch: Int
    public let construction: () -> Void
    public let primitives: () -> Void

    public init(
        _ name: String, against: String, target: Double? = nil, allocations: Int? = nil, batch: Int,
        construction: @escaping () -> Void, primitives: @escaping () -> Void
    ) {
        self.name = name
        self.against = against
        self.target = target
        self.allocations = allocations
        self.batch = batch
        self.construction = construction
        self.primitives = primitives
    }

    /// Every operation, its inputs made once.
    public static func all() throws -> [Operation] {
        try envelopes() + identities() + links() + records()
    }
}

/// Keeps the optimiser from dropping the work that made `value`.
@inline(never) @_optimize(none)
public func consume<T>(_ value: T) {}

/// A single owner of a value that closures share.
final class Box<Value: ~Copyable> {
    var value: Value
    init(_ value: consuming Value) { self.value = value }
}

/// Something that was expected to work did not, so there is nothing to measure.
struct UnexpectedResult: Error {
    let operation: String
}
