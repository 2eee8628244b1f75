/// A number as vectors have it: in decimal digits, as text, since not every reader of JSON has 64 bits.
@propertyWrapper
public struct Number<Value: FixedWidthInteger & Sendable>: Decodable, Sendable {
    public let wrappedValue: Value

    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Value(text), "\(value)" == text else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no number")
        }
        wrappedValue = value
    }
}
