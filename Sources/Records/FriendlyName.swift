import Primitives
import Wire

/// What is wrong with the text of a friendly address.
public enum FriendlyNameError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is not one `@` between a name and a cluster.
    case noCluster
    case nameLength(Int)
    case nameCharacter(Character)
    case clusterID(Bech32m.Failure)

    public var description: String {
        switch self {
        case .noCluster: "it is not of the form name@cluster"
        case .nameLength(let count): "the name has \(count) characters; 1 to \(FriendlyName.nameLimit) are possible"
        case .nameCharacter(let character): "a name has no \u{201C}\(character)\u{201D}: a to z, 0 to 9, - and . only"
        case .clusterID(let failure): "the cluster's ID: \(failure)"
        }
    }
}

/// `name@cluster`: a name that a cluster has given to one of its users (specs/directory.md, "Friendly addresses").
public struct FriendlyName: Hashable, Sendable, CustomStringConvertible {
    public static let nameLimit = 32

    /// In small letters.
    public let name: String
    /// The cluster's name, or its ClusterID in bech32m, as typed.
    public let cluster: String

    public init(text: String) throws(FriendlyNameError) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty else { throw .noCluster }
        try self.init(name: String(parts[0]), cluster: String(parts[1]))
    }

    public init(name: String, cluster: String) throws(FriendlyNameError) {
        self.name = try FriendlyName.checked(name)
        self.cluster = cluster
    }

    /// The name in small letters.
    public static func checked(_ name: String) throws(FriendlyNameError) -> String {
        var out = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "a"..."z", "0"..."9", "-", ".": out.unicodeScalars.append(scalar)
            case "A"..."Z": out += String(scalar).lowercased()
            default: throw .nameCharacter(Character(scalar))
            }
        }
        guard (1...nameLimit).contains(out.utf8.count) else { throw .nameLength(out.utf8.count) }
        return out
    }

    public var description: String { "\(name)@\(cluster)" }
}

/// A ClusterID as people write it: bech32m with the prefix `huldac` of version 1 ‖ key.
public enum ClusterText {
    private static let prefix = "huldac"
    private static let version: UInt8 = 1

    public static func encode(_ cluster: VerifyingKey) -> String {
        Bech32m.encode(prefix: prefix, [version] + cluster.bytes.bytes)
    }

    /// `nil` for a text that is none, as the name of a cluster is not.
    public static func decode(_ text: String) throws(FriendlyNameError) -> VerifyingKey? {
        guard text.lowercased().hasPrefix(prefix + "1") else { return nil }
        do throws(Bech32m.Failure) {
            let data = try Bech32m.decode(prefix: prefix, text)
            guard data.count == 33, data.first == version, let key = Bytes32(data[1...]) else { return nil }
            return VerifyingKey(key)
        } catch { throw .clusterID(error) }
    }
}
