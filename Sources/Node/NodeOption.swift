/// An option of `node.toml`: what its value is, when a new one takes effect, and what its comment says.
///
/// One list serves the check of types, the reload of a running server, and the comments of the files that
/// `hulda node init` writes.
public struct NodeOption: Sendable {
    public enum Value: Equatable, Sendable {
        case text(String)
        case number(Int)
        case texts([String])
        case flag(Bool)

        /// What must stand there, in words.
        public var kind: String {
            switch self {
            case .text: "a text in quotes"
            case .number: "a number"
            case .texts: "a list of texts, as [\"…\", \"…\"]"
            case .flag: "true or false"
            }
        }
    }

    /// The name in the file.
    public let name: String
    /// Whether a running server takes a new value when it reloads; else it does at its next start.
    public let isLive: Bool
    /// Whether files mention it where it is not set.
    public let isListed: Bool
    /// Lines of at most 118 characters, without the sign of a comment.
    public let explanation: String
    /// What stands in a comment where the option is not set; its kind is that of every value.
    public let sample: Value
    /// The value in a configuration; `nil` where it has the default, which a file may leave out.
    public let value: @Sendable (NodeConfiguration) -> Value?
    /// Takes the value over from another configuration.
    let copy: @Sendable (_ from: NodeConfiguration, _ to: inout NodeConfiguration) -> Void

    private init<Field>(
        _ key: NodeConfiguration.CodingKeys, _ path: any WritableKeyPath<NodeConfiguration, Field> & Sendable,
        isLive: Bool = false, isListed: Bool = true, sample: Value, _ explanation: String,
        _ value: @escaping @Sendable (Field) -> Value?
    ) {
        name = key.stringValue
        self.isLive = isLive
        self.isListed = isListed
        self.sample = sample
        self.explanation = explanation
        self.value = { value($0[keyPath: path]) }
        copy = { $1[keyPath: path] = $0[keyPath: path] }
    }

    private static func text(
        _ key: NodeConfiguration.CodingKeys, _ path: any WritableKeyPath<NodeConfiguration, String> & Sendable,
        isLive: Bool = false, sample: String, _ explanation: String
    ) -> NodeOption {
        .init(key, path, isLive: isLive, sample: .text(sample), explanation) { .text($0) }
    }

    private static func optional(
        _ key: NodeConfiguration.CodingKeys, _ path: any WritableKeyPath<NodeConfiguration, String?> & Sendable,
        isLive: Bool = false, sample: String, _ explanation: String
    ) -> NodeOption {
        .init(key, path, isLive: isLive, sample: .text(sample), explanation) { $0.map(Value.text) }
    }

    private static func number(
        _ key: NodeConfiguration.CodingKeys, _ path: any WritableKeyPath<NodeConfiguration, Int> & Sendable,
        isLive: Bool = false, sample: Int, _ explanation: String
    ) -> NodeOption {
        .init(key, path, isLive: isLive, sample: .number(sample), explanation) { .number($0) }
    }
}

extension NodeOption {
    /// Every option, in the order of the file.
    public static let all: [NodeOption] = [
        .text(
            .clusterName, \.clusterName, isLive: true, sample: "example",
            """
            The cluster's name as other operators and your users see it. Up to 64 bytes: letters and digits,
            and between them -, _, . or a blank.
            """),
        .text(
            .contact, \.contact, isLive: true, sample: "operator@example.org",
            "Where an operator can be reached: an e-mail address or a page. Published in the map. Up to 128 bytes."),
        .text(
            .listen, \.listen, sample: "198.51.100.7:7411",
            """
            The TCP address for links with other servers and with agents. 0.0.0.0 listens on all of the machine's
            addresses; then `advertise` must name one of them.
            """),
        .text(
            .listenDatagram, \.listenDatagram, sample: "198.51.100.7:7411",
            "The UDP address for directory messages. The default is the same as `listen`."),
        .optional(
            .advertise, \.advertise, sample: "198.51.100.7:7411",
            "The TCP address that others use, when it differs from `listen` (all addresses, port forwarding). IP:port."),
        .optional(
            .advertiseDatagram, \.advertiseDatagram, sample: "198.51.100.7:7411",
            "The same of UDP. The default is `advertise` where that is set."),
        .text(
            .dataDirectory, \.dataDirectory, sample: "/var/lib/hulda",
            "Where keys and the store are kept. Only the server's own user may enter it."),
        .optional(
            .bootstrap, \.bootstrap, isLive: true, sample: "bootstrap.txt",
            """
            The bootstrap list: peer links of clusters that you trust from the start, one a line. A relative path begins
            at the data directory, into which `hulda node init` copies the list. It must be there at the first start; when
            it is missing later, the server uses what it read last.
            """),
        .init(
            .knownServers, \.knownServers, isLive: true, sample: .texts(["hulda-peer:huldap1…@203.0.113.9:7411"]),
            """
            Peer links of up to 16 servers that you know yourself, with IP addresses. They are asked whether they see the
            same network; they are neither trusted for the map nor endorsed. With the list above, your peers and the
            servers of the last run they are the sources of which three are to answer before `hulda node status` calls
            what this server sees trusted.
            """
        ) { $0.isEmpty ? nil : .texts($0) },
        .optional(
            .registrationToken, \.registrationToken, isLive: true, sample: "ask me for it",
            """
            When set, only who has this token (up to 64 bytes) can register an account here; this file must then be its
            owner's alone (chmod 600). Default: anybody can.
            """),
        .number(
            .namesPerAccount, \.namesPerAccount, isLive: true, sample: 3,
            "Names (name@cluster) that one account here can have, from 0 to 16; 0 gives none to anybody."),
        .number(
            .storeMiB, \.storeMiB, sample: 1024,
            "The largest size of the store on disk, in MiB. A full store refuses new messages; nothing stored is lost."),
        .number(
            .records, \.records, sample: NodeConfiguration.defaultRecords,
            """
            Directory records held at most, from 1000 to 10000000. Each takes 1.1 KiB of the store as a rule, 1.4 at
            worst: for a million set store_mib to 2048. What comes when there are so many, or when the store is nearly
            full, is refused.
            """),
        .number(
            .loopsPerMinute, \.loopsPerMinute, isLive: true, sample: 6,
            """
            Loop envelopes a minute that this relay sends through others to itself; a missing return reveals a dropping
            neighbour. From 0 to 6000.
            """),
        .number(
            .wireVersion, \.wireVersion, sample: 2,
            """
            The highest version of the map's gossip that this node speaks: 1 or 2. Before an upgrade that raises it, pin
            the old one on every server, upgrade them one after another, and take the pin away at the end.
            `hulda node status` shows what is spoken.
            """),
        .init(
            .testbedAddresses, \.testbedAddresses, isListed: false, sample: .flag(true),
            """
            `hulda testbed up` sets this for its tests: the server's statement then lists the addresses of its users.
            Refused for a server that has an address which is not loopback. Leave it out.
            """
        ) { $0 ? .flag(true) : nil },
        .text(
            .logLevel, \.logLevel, isLive: true, sample: "info", "trace, debug, info, notice, warning, error, critical"),
    ]
}

extension NodeConfiguration {
    /// The names of the options in which `other` differs.
    public func differences(from other: NodeConfiguration) -> [NodeOption] {
        NodeOption.all.filter { $0.value(self) != $0.value(other) }
    }

    /// This configuration with those of another's options that a running server can take.
    func taking(live other: NodeConfiguration) -> NodeConfiguration {
        var result = self
        for option in NodeOption.all where option.isLive { option.copy(other, &result) }
        return result
    }
}
