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

        /// A peer link, and the node whose list it is put on or taken from.
        struct Change: ParsableArguments {
            @Argument(help: "hulda-peer:…@host:port")
            var link: String
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            /// - Parameters:
            ///   - done: what has happened to the link: a member of the JSON object, and a word.
            ///   - body: changes the list.
            func run(
                _ done: String, _ body: (PeerLink, inout [PeerLink], NodeConfiguration) throws -> Void,
                next: (NodeConfiguration) -> String? = { _ in nil }
            ) async throws {
                try await output.run {
                    let peer = try PeerFile.parse(link)
                    let configuration = try ConfigurationFile.read(config.path)
                    var isNew = true
                    let isRunning = try await PeerFile(configuration).change { links in
                        let before = links
                        try body(peer, &links, configuration)
                        isNew = links != before
                    }
                    output.print(Changed(link: peer.text, change: done, isRunning: isRunning)) {
                        let effect =
                            isRunning ? "The running node knows." : "The node does not run; it reads it at its start."
                        let first = isNew ? "\(done.capitalized) \(peer.text)" : "Was \(done) before: \(peer.text)"
                        return [first, effect, next(configuration)].compactMap(\.self)
                            .joined(separator: "\n")
                    }
                }
            }
        }

        /// `{"added": LINK, "running": true}`
        private struct Changed: Encodable {
            let link: String
            let change: String
            let isRunning: Bool

            private struct Key: CodingKey {
                let stringValue: String
                let intValue: Int? = nil
                init(stringValue: String) { self.stringValue = stringValue }
                init?(intValue: Int) { return nil }
            }

            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Key.self)
                try container.encode(link, forKey: Key(stringValue: change))
                try container.encode(isRunning, forKey: Key(stringValue: "running"))
            }
        }

        struct Add: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Peer with the cluster of a peer link.",
                discussion: """
                    Takes effect at once when the server runs, else at its next start. The other operator adds your \
                    link, which hulda node peer show prints; hulda node map shows who has done so.

                    Example: hulda node peer add hulda-peer:huldap1…@203.0.113.9:7411 \
                    --config /var/lib/hulda/node.toml
                    """)
            @OptionGroup var change: Change

            func run() async throws {
                try await change.run("added") { peer, links, configuration in
                    guard try NodeFailureText.translate({ try NodeRuntime.peerLink(configuration) }) != peer else {
                        throw Failure(
                            "this is the link of your own cluster",
                            next: "Add the link that the other operator gives you.",
                            code: SysExit.usage)
                    }
                    if !links.contains(peer) { links.append(peer) }
                } next: { configuration in
                    (try? NodeRuntime.peerLink(configuration)).map { "Next: the other operator adds yours, \($0.text)" }
                }
            }
        }

        struct Remove: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "End the peering with a cluster.",
                discussion: "Takes the link that hulda node peer list shows.")
            @OptionGroup var change: Change

            func run() async throws {
                try await change.run("removed") { peer, links, _ in
                    guard links.contains(peer) else {
                        throw Failure(
                            "this cluster is no added peer",
                            next: "List them with: hulda node peer list, with the same --config.",
                            code: SysExit.noHost)
                    }
                    links.removeAll { $0 == peer }
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

    /// - Returns: whether a running node was told.
    func change(_ body: (inout [PeerLink]) throws -> Void) async throws -> Bool {
        var links = try links()
        try body(&links)
        do throws(DurableFile.Failure) {
            try DurableFile.write(BootstrapList(links: links).text, to: NodeFiles.peersPath(configuration))
        } catch {
            throw Failure(
                "\(error.path) cannot be written: \(error.reason)",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
        // A node that does not run reads the list when it starts.
        return (try? await NodeClient(configuration).ask(.reload)) != nil
    }
}
