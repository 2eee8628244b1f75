import ArgumentParser
import Federation
import FoundationEssentials
import Node
import Terminal
import Transport

extension NodeCommand {
    struct Map: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who is admitted to the map, by which paths of peerings, and why somebody is not.",
            discussion: """
                A cluster is admitted when two paths of mutual endorsements that share nothing lead from it to the \
                trust roots: the clusters of the bootstrap list and of added peers, and the own.

                With --prove it writes a file that shows others that a cluster or server is in the snapshot of the map \
                that clusters have signed today: anybody can check it without a network by hulda audit membership.

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
                let graph = try await NodeClient(try ConfigurationFile.read(config.path)).map(matching: cluster)
                guard !graph.clusters.isEmpty || cluster.isEmpty else {
                    throw Failure(
                        "no cluster of the map has a name or ID that begins with \(VisibleText.of(cluster))",
                        next: "See all with: hulda node map", code: SysExit.noHost)
                }
                output.print(graph) { dot ? MapText.dot(graph) : MapText.table(graph) }
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
            output.print(MembershipRow(file: path, proof, trusted: nil)) {
                "\(path): \(MembershipText.claim(proof))\nCheck it: hulda audit membership \(path.forShell)"
            }
        }
    }
}

/// A map for people: as a table, and as a Graphviz graph.
enum MapText {
    static func table(_ graph: MapGraph) -> String {
        let names = names(graph)
        let rows = graph.clusters.map { cluster in
            [
                VisibleText.of(cluster.name), String(cluster.id.prefix(16)), cluster.standing.rawValue,
                "\(cluster.servers)", "\(cluster.peers.count)", reason(cluster, names),
            ]
        }
        let header = ["name", "cluster ID", "standing", "servers", "peers", "why"]
        var lines = StatusText.columns([header] + rows)
        if graph.omitted > 0 {
            lines.append("and \(graph.omitted) more: ask for one with hulda node map NAME-OR-ID")
        }
        return lines.joined(separator: "\n")
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
            let name = VisibleText.of(cluster.name).flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] }
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
            graph.clusters.map { (String($0.id.prefix(16)), VisibleText.of($0.name)) },
            uniquingKeysWith: { first, _ in first })
    }

    private static func reason(_ cluster: MapGraph.Cluster, _ names: [String: String]) -> String {
        func name(_ short: String) -> String { names[short] ?? short }
        let paths = cluster.paths.map { $0.dropFirst().map(name).joined(separator: " > ") }
        let unanswered = cluster.unanswered.map(name).joined(separator: ", ")
        switch cluster.standing {
        case .root: return unanswered.isEmpty ? "trust root" : "trust root; not endorsed back by \(unanswered)"
        case .admitted: return paths.joined(separator: " | ")
        case .refused:
            if let hinge = cluster.hangsOn {
                return "every path leads through \(name(hinge)): it needs a peering with another cluster"
            }
            if paths.count == 2 { return "its peers have brought in as many as they may today: wait for tomorrow" }
            if !paths.isEmpty { return "only one root peers with it: it needs a second peering" }
            guard cluster.unreturned.isEmpty else {
                let endorsers = cluster.unreturned.map(name).joined(separator: ", ")
                return "endorsed by \(endorsers), but does not endorse back"
            }
            guard cluster.unanswered.isEmpty else { return "endorses \(unanswered): not endorsed back" }
            return "nobody in the map peers with it"
        }
    }
}

/// Text that others wrote, within a line: see ForeignText, which may be used directly.
enum VisibleText {
    static func of(_ text: String) -> String {
        text.shown
    }
}
