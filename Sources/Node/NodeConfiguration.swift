import Directory
import Federation
import Home
import Logging
import Records
import Transport
import Wire

/// How one server of a cluster runs: the contents of `node.toml`, every field with its default.
public struct NodeConfiguration: Codable, Sendable, Equatable {
    /// The cluster's name as operators see it, at most 64 bytes.
    public var clusterName: String
    /// Where an operator can be reached, at most 128 bytes.
    public var contact: String
    /// TCP address for links: `a.b.c.d:port`.
    public var listen: String
    /// UDP address for directory messages.
    public var listenDatagram: String
    /// The addresses that others use, when they differ from the listening ones.
    public var advertise: String?
    public var advertiseDatagram: String?
    /// Where state is kept.
    public var dataDirectory: String
    /// A bootstrap list: the clusters that this node trusts from the start. A relative path begins at the data directory.
    public var bootstrap: String?
    /// Peer links of servers that the operator knows himself: they are asked whether they see the same network, and
    /// neither trusted for the map nor endorsed.
    public var knownServers: [String]
    /// Whether anybody may register, or only who has the token.
    public var registrationToken: String?
    /// Names (`name@cluster`) that an account can have; 0 gives none.
    public var namesPerAccount: Int
    /// The largest size of the node's store, in mebibytes.
    public var storeMiB: Int
    /// Directory records held at most, of a kibibyte at most each.
    public var records: Int
    /// Relay loops sent a minute, which reveal a neighbour that drops envelopes.
    public var loopsPerMinute: Int
    /// The highest version of the map's gossip that this node speaks; pinned to the old one while a federation is
    /// upgraded server by server (specs/map.md, "Versions").
    public var wireVersion: Int
    /// Whether the node's statement lists the addresses of agents: `hulda testbed up` sets it for its tests, and it is
    /// refused for a server that others than this machine can reach.
    public var testbedAddresses: Bool
    /// `trace`, `debug`, `info`, `notice`, `warning`, `error`.
    public var logLevel: String

    public static let defaultRecords = DirectoryConfiguration().recordLimit
    /// What ``records`` may be.
    static let recordRange = 1000...10_000_000

    /// Each has a row in ``NodeOption/all``.
    enum CodingKeys: String, CodingKey, CaseIterable {
        case clusterName = "cluster_name"
        case contact
        case listen
        case listenDatagram = "listen_datagram"
        case advertise
        case advertiseDatagram = "advertise_datagram"
        case dataDirectory = "data_directory"
        case bootstrap
        case knownServers = "known_servers"
        case registrationToken = "registration_token"
        case namesPerAccount = "names_per_account"
        case storeMiB = "store_mib"
        case records
        case loopsPerMinute = "loops_per_minute"
        case wireVersion = "wire_version"
        case testbedAddresses = "testbed_addresses"
        case logLevel = "log_level"
    }

    public init(clusterName: String, dataDirectory: String, listen: String, listenDatagram: String) {
        self.clusterName = clusterName
        self.contact = ""
        self.listen = listen
        self.listenDatagram = listenDatagram
        self.dataDirectory = dataDirectory
        knownServers = []
        namesPerAccount = 3
        storeMiB = 1024
        records = NodeConfiguration.defaultRecords
        loopsPerMinute = 6
        wireVersion = Int(MapVersion.highest)
        testbedAddresses = false
        logLevel = "info"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        clusterName = try values.decode(String.self, forKey: .clusterName)
        contact = try values.decodeIfPresent(String.self, forKey: .contact) ?? ""
        listen = try values.decode(String.self, forKey: .listen)
        listenDatagram = try values.decodeIfPresent(String.self, forKey: .listenDatagram) ?? listen
        advertise = try values.decodeIfPresent(String.self, forKey: .advertise)
        advertiseDatagram = try values.decodeIfPresent(String.self, forKey: .advertiseDatagram)
        dataDirectory = try values.decode(String.self, forKey: .dataDirectory)
        bootstrap = try values.decodeIfPresent(String.self, forKey: .bootstrap)
        knownServers = try values.decodeIfPresent([String].self, forKey: .knownServers) ?? []
        registrationToken = try values.decodeIfPresent(String.self, forKey: .registrationToken)
        namesPerAccount = try values.decodeIfPresent(Int.self, forKey: .namesPerAccount) ?? 3
        storeMiB = try values.decodeIfPresent(Int.self, forKey: .storeMiB) ?? 1024
        records = try values.decodeIfPresent(Int.self, forKey: .records) ?? NodeConfiguration.defaultRecords
        loopsPerMinute = try values.decodeIfPresent(Int.self, forKey: .loopsPerMinute) ?? 6
        wireVersion = try values.decodeIfPresent(Int.self, forKey: .wireVersion) ?? Int(MapVersion.highest)
        testbedAddresses = try values.decodeIfPresent(Bool.self, forKey: .testbedAddresses) ?? false
        logLevel = try values.decodeIfPresent(String.self, forKey: .logLevel) ?? "info"
    }
}

extension NodeConfiguration {
    /// Checks what a descriptor or the store could not take; of the addresses, only what they are for (``NodeAddresses``).
    public func validate() throws(NodeError) {
        do throws(ClusterName.Failure) { try ClusterName.check(clusterName) } catch {
            throw .configuration(field: "cluster_name", reason: "\(error)")
        }
        guard !contact.unicodeScalars.contains(where: \.isControl) else {
            throw .configuration(field: "contact", reason: "must have no control characters")
        }
        guard Logger.Level(rawValue: logLevel) != nil else {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw .configuration(field: "log_level", reason: "must be one of \(levels)")
        }
        guard contact.utf8.count <= ClusterDescriptor.contactLimit else {
            throw .configuration(field: "contact", reason: "must have at most \(ClusterDescriptor.contactLimit) bytes")
        }
        _ = try knownLinks()
        guard (registrationToken?.utf8.count ?? 0) <= HomeRequest.Registration.tokenLimit else {
            throw .configuration(
                field: "registration_token", reason: "must have at most \(HomeRequest.Registration.tokenLimit) bytes")
        }
        guard (0...16).contains(namesPerAccount) else {
            throw .configuration(field: "names_per_account", reason: "must be from 0 to 16")
        }
        guard (1...1_048_576).contains(storeMiB) else {
            throw .configuration(field: "store_mib", reason: "must be from 1 to 1048576")
        }
        guard NodeConfiguration.recordRange.contains(records) else {
            let range = NodeConfiguration.recordRange
            throw .configuration(field: "records", reason: "must be from \(range.lowerBound) to \(range.upperBound)")
        }
        guard (Int(MapVersion.lowest)...Int(MapVersion.highest)).contains(wireVersion) else {
            throw .configuration(
                field: "wire_version", reason: "must be from \(MapVersion.lowest) to \(MapVersion.highest)")
        }
        guard (0...6000).contains(loopsPerMinute) else {
            throw .configuration(field: "loops_per_minute", reason: "must be from 0 to 6000")
        }
        guard !testbedAddresses || isOnLoopback else {
            throw .configuration(
                field: "testbed_addresses",
                reason: "lists the addresses of users, and is for a testbed on loopback addresses alone: remove it")
        }
    }
}

extension Unicode.Scalar {
    /// Whether it moves the cursor, changes the direction of writing, or is invisible.
    fileprivate var isControl: Bool {
        switch properties.generalCategory {
        // They join letters and emoji.
        case .format where value == 0x200c || value == 0x200d: false
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}

extension NodeConfiguration {
    /// Whether only this machine can reach the server.
    private var isOnLoopback: Bool {
        [listen, listenDatagram, advertise, advertiseDatagram].compactMap(\.self).allSatisfy {
            $0.hasPrefix("127.") || $0.hasPrefix("[::1]")
        }
    }

    /// What ``knownServers`` may have.
    static let knownServerLimit = 16

    /// The links of ``knownServers``.
    func knownLinks() throws(NodeError) -> [PeerLink] {
        guard knownServers.count <= NodeConfiguration.knownServerLimit else {
            throw .configuration(
                field: "known_servers", reason: "must have at most \(NodeConfiguration.knownServerLimit) links")
        }
        var links: [PeerLink] = []
        for text in knownServers {
            do throws(PeerLink.Failure) { links.append(try PeerLink(text: text)) } catch {
                throw .configuration(
                    field: "known_servers", reason: "\u{201C}\(text)\u{201D} is no peer link: \(error)")
            }
        }
        // Names are looked up for links over TCP, which peers get and these do not.
        if let named = links.first(where: { $0.address == nil }) {
            throw .configuration(field: "known_servers", reason: "\(named.host) is a name; put its address there")
        }
        return links
    }
}

/// What keeps a node from starting, or from going on, in words for its operator.
public enum NodeError: Error, Sendable, CustomStringConvertible {
    case configuration(field: String, reason: String)
    case unreadable(path: String, reason: String)
    /// Others can get at the data directory.
    case exposed(Exposure)
    case storage(path: String, reason: String)
    /// Nothing of the store can be read.
    case damagedStore(path: String, reason: String)
    /// The data files were removed or replaced while the node ran.
    case storeRemoved(path: String)
    /// Another node, or this one a second time.
    case inUse(path: String)
    case addressInUse(String)
    /// A copy of this server goes on announcing itself.
    case copied(address: String)
    case cannotListen(address: String, reason: String)

    public var description: String {
        switch self {
        case .configuration(let field, let reason): "\(field): \(reason)"
        case .unreadable(let path, let reason): "\(path): \(reason)"
        case .exposed(let exposure): "\(exposure)"
        case .storage(let path, let reason): "the store in \(path): \(reason)"
        case .damagedStore(let path, let reason): "the store in \(path) is damaged: \(reason)"
        case .storeRemoved(let path): "the data files in \(path) were removed or replaced while the node ran"
        case .inUse(let path): "a running node uses \(path)"
        case .copied(let address):
            "a server at \(address) has this server's key and goes on announcing itself: this one has stopped"
        case .addressInUse(let address):
            "\(address) is in use: stop the program that listens there, or choose another address in node.toml"
        case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
        }
    }
}
