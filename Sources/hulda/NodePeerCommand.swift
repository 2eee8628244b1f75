import ArgumentParser
import Federation
import FoundationEssentials
import Node
import Records
import Transport

extension NodeCommand {
    struct Peer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Endorse other clusters, so that those who trust yours admit them.",
            discussion: """
                A peering is mutual: each of two operators adds the other's link. A cluster belongs to the network when \
                two such paths lead to it from those whom one trusts; hulda node map shows them.
                """,
            subcommands: [Show.self, Add.self, Remove.self, List.self])

        struct Show: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "The own peer link, for other operators and for bootstrap lists.",
                discussion: "Example: hulda node peer show --config /var/lib/hulda/node.toml")
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let configuration = try ConfigurationFile.read(config.path)
                    let link = try NodeFailureText.translate { try NodeRuntime.peerLink(configuration) }
                    output.print(["peer": link.text]) { link.text }
                }
            }
        }

        struct Add: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Peer with the cluster of a peer link.",
                discussion: """
                    Takes effect at once when the server runs, else at its next start. The other operator adds your \
                    link, which hulda node peer show prints.

                    Example: hulda node peer add hulda-peer:huldap1…@203.0.113.9:7411
                    """)
            @Argument(help: "hulda-peer:…@host:port")
            var link: String
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let peer = try PeerFile.parse(link)
                    try await PeerFile(try ConfigurationFile.read(config.path)).change { links in
                        if !links.contains(peer) { links.append(peer) }
                    }
                    output.print(["added": peer.text]) { "Added \(peer.text)" }
                }
            }
        }

        struct Remove: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "End the peering with a cluster.",
                discussion: "Takes the link that hulda node peer list shows.")
            @Argument(help: "hulda-peer:…@host:port")
            var link: String
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let peer = try PeerFile.parse(link)
                    try await PeerFile(try ConfigurationFile.read(config.path)).change { links in
                        guard links.contains(peer) else {
                            throw Failure(
                                "this cluster is no added peer", next: "List them with: hulda node peer list",
                                code: SysExit.noHost)
                        }
                        links.removeAll { $0 == peer }
                    }
                    output.print(["removed": peer.text]) { "Removed \(peer.text)" }
                }
            }
        }

        struct List: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "The peers that were added.")
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let links = try PeerFile(try ConfigurationFile.read(config.path)).links()
                    output.print(links.map(\.text)) {
                        links.isEmpty ? "No peers were added." : links.map(\.text).joined(separator: "\n")
                    }
                }
            }
        }
    }
}

/// The list of added peers, and telling the running node that it changed.
struct PeerFile {
    let configuration: NodeConfiguration

    init(_ configuration: NodeConfiguration) { self.configuration = configuration }

    static func parse(_ text: String) throws -> PeerLink {
        do throws(PeerLink.Failure) { return try PeerLink(text: text) } catch {
            throw Failure(
                "this is no peer link: \(error)",
                next: "Copy it again; it starts with hulda-peer: and ends with a port.",
                code: SysExit.usage)
        }
    }

    func links() throws -> [PeerLink] {
        try NodeFailureText.translate {
            try NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)
        }
    }

    func change(_ body: (inout [PeerLink]) throws -> Void) async throws {
        var links = try links()
        try body(&links)
        do {
            try BootstrapList(links: links).text.write(
                toFile: NodeFiles.peersPath(configuration), atomically: true, encoding: .utf8)
        } catch {
            throw Failure(
                "\(NodeFiles.peersPath(configuration)) cannot be written: \(FileFailure.reason(error))",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
        // A node that does not run reads the list when it starts.
        _ = try? await NodeClient(configuration).ask(.reload)
    }
}
