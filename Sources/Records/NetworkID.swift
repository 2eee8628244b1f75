import Primitives
import Wire

/// Why a text is no network ID.
public enum NetworkIDError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A typing error, or no ID at all.
    case text(Bech32m.Failure)
    /// An ID of a version that this program does not know.
    case unknownVersion(UInt8)
    case wrongLength(Int)
    /// What follows the ID in a link is wrong, at this position from 0 of the link.
    case link(String, at: Int?)

    public var description: String {
        switch self {
        case .text(let failure): "\(failure)"
        case .unknownVersion(let version): "it is of version \(version), which this program does not know"
        case .wrongLength(let count): "it has \(count) bytes instead of 33"
        case .link(let reason, let position):
            (position.map { "at character \($0 + 1) of the link, behind the ID, " } ?? "") + reason
        }
    }
}

/// A user's address: an Ed25519 key in bech32m with the prefix `hulda` (design section 2; specs/directory.md).
public struct NetworkID: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "hulda"
    private static let version: UInt8 = 1

    public let key: VerifyingKey

    public init(key: VerifyingKey) { self.key = key }

    /// Parses an ID; finds typing errors.
    public init(text: String) throws(NetworkIDError) {
        let data: [UInt8]
        do throws(Bech32m.Failure) {
            data = try Bech32m.decode(prefix: NetworkID.prefix, text)
        } catch { throw .text(error) }
        guard let version = data.first, data.count == 33, let key = Bytes32(data[1...]) else {
            throw .wrongLength(data.count)
        }
        guard version == NetworkID.version else { throw .unknownVersion(version) }
        self.key = VerifyingKey(key)
    }

    /// `hulda1…`
    public var text: String { Bech32m.encode(prefix: NetworkID.prefix, [NetworkID.version] + key.bytes.bytes) }

    public var description: String { text }
}
