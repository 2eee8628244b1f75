import ArgumentParser
import Federation
import FoundationEssentials
import Node
import Terminal
import Transport

extension NodeCommand {
    struct Map: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Which clusters are on the map, by which peerings, where they are, and why one is left out.",
            discussion: """
                A cluster is admitted when two paths of mutual endorsements that share no cluster lead from it to the \
                trust roots: the clusters of the bootstrap list and of added peers, and the own. While the roots reach \
                fewer than five clusters in all, one path is enough. Below each cluster stand addresses of its servers, \
                and what this server itself knows of them: whether it has a link with them, since when, or why not.

                With --prove it writes a file that shows others that a cluster or server is in the snapshot of the map \
                that clusters have signed today. Anybody can check it without a network: hulda audit membership.

                Examples: hulda node map --config /var/lib/hulda/node.toml
                          hulda node map --config /var/lib/hulda/node.toml --prove example --output example.membership
                          hulda node map --config /var/lib/hulda/node.toml --dot | dot -Tsvg > map.svg
                """)

        @Argument(help: "Only clusters whose name or ID begins so.")
        var cluster = ""
        @Flag(help: "Print a Graphviz graph instead of a table.")
        var dot = false
        @Option(
            help: ArgumentHelp(
                "Write a proof of membership: of the cluster of that name, or of the cluster or server whose ID begins so.",
                valueName: "name-or-id"))
        var prove: String?
        @Option(
            name: .customLong("output"),
            help: ArgumentHelp("Where to write the proof: a new file.", valueName: "file"))
        var target: String?
        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func validate() throws {
            guard cluster.utf8.count <= NodeRequest.questionLimit else {
                throw ValidationError("A cluster's name or ID has at most \(NodeRequest.questionLimit) bytes.")
            }
            guard (prove == nil) == (target == nil), prove == nil || (cluster.isEmpty && !dot) else {
                throw ValidationError("--prove goes with --output, and with nothing that is shown.")
            }
            guard prove.map({ (1...NodeRequest.questionLimit).contains($0.utf8.count) }) ?? true else {
                throw ValidationError("A name or ID has 1 to \(NodeRequest.questionLimit) bytes.")
            }
            if dot, output.json { throw ValidationError("Choose one of --dot and --json.") }
        }

        func run() async throws {
            try await output.run {
                if let prove, let target { return try await writeProof(prove, to: target) }
                let map = try await NodeClient(try ConfigurationFile.read(config.path)).map(matching: cluster)
                guard !map.clusters.isEmpty || cluster.isEmpty else {
                    throw Failure(
                        "no cluster of the map has a name or ID that begins with \(cluster.shown)",
                        next: "See all with: hulda node map", code: SysExit.noHost)
                }
                output.print(map) { dot ? MapText.dot(map.graph) : MapText.table(map) }
            }
        }

        private func writeProof(_ question: String, to path: String) async throws {
            let client = NodeClient(try ConfigurationFile.read(config.path))
            let (file, proof) = try await client.membership(of: question)
            do throws(DurableFile.Failure) {
                // For others to check.
                try DurableFile.write(file, to: path, mode: 0o644, ifPresent: .kept)
            } catch {
                throw Failure(
                    "\(path) cannot be written: \(error.reason)",
                    next: "Choose another file; none is overwritten.", code: SysExit.cantCreate)
            }
            output.print(MembershipRow(file: path, proof)) {
                "\(path): \(MembershipText.claim(proof))\nCheck it: hulda audit membership \(path.forShell)"
            }
        }
    }
}

/// A map for people: as a table, and as a Graphviz graph.
enum MapText {
    static func table(_ map: NodeMap) -> String {
        let names = names(map.graph)
        let rows = map.clusters.map { cluster in
            [
                cluster.name.shown, String(cluster.id.prefix(16)), cluster.standing.rawValue,
                "\(cluster.servers)", "\(cluster.peers.count)",
            ]
        }
        let lines = StatusText.columns([["name", "cluster ID", "standing", "servers", "peers"]] + rows)
        var out = lines.prefix(1) + []
        for (cluster, line) in zip(map.clusters, lines.dropFirst()) {
            out.append(line)
            let why = cluster.reason { names[$0] ?? $0 }
            let word = cluster.standing == .admitted ? "by " : ""
            out += StatusText.wrapped(why, first: "    \(word)", rest: "    ")
            let short = String(cluster.id.prefix(16))
            out += map.addresses.filter { $0.cluster == short }.map { "    \($0.address)  \(contact($0.contact))" }
        }
        if map.omitted > 0 { out.append("and \(map.omitted) more: ask for one with hulda node map NAME-OR-ID") }
        let need = map.usableClusters < map.neededClusters ? "a message path needs" : "of which a message path needs"
        out.append(
            "\(StatusText.count(map.usableClusters, "cluster")) with servers, \(need) \(map.neededClusters)")
        return out.joined(separator: "\n")
    }

    /// What the node itself knows of a server.
    static func contact(_ contact: NodePeers.Contact?) -> String {
        guard let contact else { return "this server" }
        let time = contact.seconds.map(StatusText.duration)
        if contact.isLinked { return "link up\(time.map { " \($0)" } ?? "")" }
        let failure = contact.failure.map { ": \($0.shown)" } ?? ""
        return time.map { "link down \($0)\(failure)" } ?? "no link\(failure)"
    }

    static func dot(_ graph: MapGraph) -> String {
        var lines = ["graph map {", "  node [shape=box, style=rounded];"]
        for cluster in graph.clusters {
            let style =
                switch cluster.standing {
                case .root: ", style=\"rounded,bold\""
                case .admitted: ""
                case .refused: ", style=\"rounded,dashed\", color=gray, fontcolor=gray"
                }
            // A visible text has no control characters; quotes and backslashes are all that is left to escape.
            let name = cluster.name.shown.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }
            let short = cluster.id.prefix(16)
            lines.append("  \"\(short)\" [label=\"\(String(name))\\n\(short)\"\(style)];")
        }
        for cluster in graph.clusters {
            let short = String(cluster.id.prefix(16))
            // A peering stands in the rows of both; one line is drawn.
            for peer in cluster.peers where short < peer || !graph.clusters.contains(where: { $0.id.hasPrefix(peer) }) {
                lines.append("  \"\(short)\" -- \"\(peer)\";")
            }
        }
        return (lines + ["}"]).joined(separator: "\n")
    }

    private static func names(_ graph: MapGraph) -> [String: String] {
        Dictionary(
            graph.clusters.map { (String($0.id.prefix(16)), $0.name.shown) },
            uniquingKeysWith: { first, _ in first })
    }
}
