import Foundation
import Primitives
import Testing

/// Bytes from hexadecimal; spaces and line breaks are ignored.
func hex(_ text: String) throws -> [UInt8] {
    try #require(Hex.decode(text.filter { !$0.isWhitespace }), "no hexadecimal: \(text)")
}

func fixed<T: FixedBytes>(_ type: T.Type = T.self, _ text: String) throws -> T {
    try #require(T(try hex(text)), "not \(T.count) bytes: \(text)")
}

func secret(_ bytes: [UInt8]) -> SecretBytes {
    var copy = bytes
    return SecretBytes(taking: &copy)
}

func secret(_ text: String) throws -> SecretBytes { secret(try hex(text)) }

func bytes(_ secret: borrowing SecretBytes) -> [UInt8] { secret.withUnsafeBytes { Array($0) } }
