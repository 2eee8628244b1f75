import ArgumentParser
import Federation
import FoundationEssentials
import Node
import Records

extension NodeCommand {
    struct Peer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Endorse other clusters, so that those who trust yours admit them.",
            discussion: """
                A peering is mutual: each of two operators adds the other's link. A peer is also a trust root of your \
                server: whom the peer endorses can come onto your map. A cluster belongs to the network when two paths \
                of peerings lead to it; hulda node map shows them.
                """,
            subcommands: [Show.self, Add.self, Remove.self, List.self])

        struct Show: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "This cluster's peer link, for other operators and for bootstrap lists.",
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
                    link, which hulda node peer show prints; hulda node peer list shows who has done so.

                    An endorsement is signed with cluster.key. Where that is not in the data directory, the peer is a \
                    trust root but not endorsed; exit code 66 says so.

                    Example: hulda node peer add hulda-peer:huldap1…@203.0.113.9:7411 \
                    --config /var/lib/hulda/node.toml
                    """)
            @Argument(help: "hulda-peer:…@host:port")
            var link: String
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let peer = try PeerFile.parse(link)
                    let configuration = try ConfigurationFile.read(config.path)
                    let own = try NodeFailureText.translate { try NodeRuntime.peerLink(configuration) }
                    guard own.clusterID != peer.clusterID else {
                        throw Failure(
                            "this is the link of your own cluster",
                            next: "Add the link that the other operator gives you.", code: SysExit.usage)
                    }
                    let file = PeerFile(configuration)
                    var links = try file.links()
                    let isNew = !links.contains(peer)
                    if isNew { links.append(peer) }
                    let isRunning = try await file.write(links)
                    let known = isRunning ? try? await NodeClient(configuration).peers() : nil
                    let report = PeerReport(peer, isNew: isNew, isRunning: isRunning, known, configuration)
                    output.print(report) { report.text(own: own.text) }
                    guard report.endorsed else {
                        throw Failure(
                            "\(report.title) is a trust root now, but is not endorsed: cluster.key, which signs "
                                + "endorsements, is not in \(configuration.dataDirectory)",
                            next: isRunning
                                ? "Put it there and send the server SIGHUP (systemctl reload hulda); then take it away."
                                : "Put it there for the next start; then take it away.",
                            code: SysExit.noInput)
                    }
                }
            }
        }

        struct Remove: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "End the peering with a cluster: it is no trust root any more, and endorsed no longer.",
                discussion: """
                    Takes a name or the beginning of a cluster ID, as hulda node peer list shows them, or a link.

                    Example: hulda node peer remove boje --config /var/lib/hulda/node.toml
                    """)
            @Argument(help: ArgumentHelp("Name, cluster ID or link.", valueName: "peer"))
            var peer: String
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let configuration = try ConfigurationFile.read(config.path)
                    let file = PeerFile(configuration)
                    let links = try file.links()
                    let known = (try? await NodeClient(configuration).peers()) ?? PeerFile.unknown(links)
                    let found = try PeerChoice.one(peer, of: known.peers)
                    let isRunning = try await file.write(links.filter { $0.text != found.link })
                    output.print(PeerRemoved(removed: found.link, cluster: found.cluster, running: isRunning)) {
                        "Removed \(PeerList.title(found)), \(found.address).\n"
                            + (isRunning
                                ? "The running server has taken it off its trust roots and endorses it no longer."
                                : "The server does not run; it reads the list when it starts.")
                    }
                }
            }

            private struct PeerRemoved: Encodable {
                let removed: String
                let cluster: String
                let running: Bool
            }
        }

        struct List: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "With whom this cluster peers: links, and whether both sides endorse each other.",
                discussion: """
                    Peers that were added, and the clusters of the bootstrap list; all are trust roots and endorsed. \
                    The links, for hulda node peer add elsewhere, are in --json.

                    Example: hulda node peer list --config /var/lib/hulda/node.toml
                    """)
            @OptionGroup var config: ConfigOption
            @OptionGroup var output: OutputOptions

            func run() async throws {
                try await output.run {
                    let configuration = try ConfigurationFile.read(config.path)
                    if let known = try? await NodeClient(configuration).peers() {
                        return output.print(known) { PeerList.text(known) }
                    }
                    let known = PeerFile.unknown(try PeerFile(configuration).links())
                    output.print(known) {
                        PeerList.text(known) + "\nThe server does not run: names, links and endorsements are unknown."
                    }
                }
            }
        }
    }
}
