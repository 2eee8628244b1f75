/// Sums since the start, by which people see what a core did and refused: never by user, key or peer.
///
/// Every stored property is one, and its name follows from the property's, so that none can be forgotten where they are
/// shown. Spec: specs/counters.md.
public protocol CounterSet: Equatable, Sendable {
    /// What the names begin with.
    static var family: String { get }
    /// Whole names that do not follow from those of the properties: people know them so.
    static var names: [String: String] { get }
}

extension CounterSet {
    public static var names: [String: String] { [:] }

    /// All sums by name: `family.some_property`.
    public var sums: [String: UInt64] {
        Mirror(reflecting: self).children.reduce(into: [:]) { sums, child in
            guard let label = child.label, let sum = child.value as? UInt64 else { return }
            sums[Self.names[label] ?? Self.family + "." + Self.snakeCase(label), default: 0] += sum
        }
    }

    private static func snakeCase(_ label: String) -> String {
        label.reduce(into: "") { name, character in
            if character.isUppercase { name += "_" }
            name += character.lowercased()
        }
    }
}
