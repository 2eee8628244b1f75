import ArgumentParser
import Federation
import FoundationEssentials
import Logging
import NIOCore
import NIOPosix
import Node
import Records
import Transport
import Wire

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Run and operate a server of a cluster.",
        subcommands: [Init.self, Run.self, Status.self, Map.self, Peer.self])

    struct ConfigOption: ParsableArguments {
        @Option(
            name: .customLong("config"),
            help: ArgumentHelp("The node's configuration.", valueName: "file"))
        var path = "node.toml"
    }

    struct Init: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a configuration and make the keys of a new one-server cluster.",
            discussion: """
                Example: hulda node init /var/lib/hulda --name example --listen 198.51.100.7:7411 \
                --bootstrap bootstrap.txt
                """)

        @Argument(help: "The data directory; made when it is missing. The configuration is put there as node.toml.")
        var directory: String
        @Option(help: "The cluster's name.")
        var name: String
        @Option(help: ArgumentHelp("The address for TCP and UDP.", valueName: "ip:port"))
        var listen: String
        @Option(help: ArgumentHelp("A bootstrap list to start from.", valueName: "file"))
        var bootstrap: String?
        @Option(help: "Where you can be reached.")
        var contact = ""
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let data = URL(fileURLWithPath: directory).path
                let path = data + "/node.toml"
                guard !FileManager.default.fileExists(atPath: path) else {
                    throw Failure(
                        "\(path) exists already", next: "Choose another directory; nothing was changed.",
                        code: SysExit.cantCreate)
                }
                var configuration = NodeConfiguration(
                    clusterName: name, dataDirectory: data, listen: listen, listenDatagram: listen)
                configuration.contact = contact
                configuration.bootstrap = bootstrap.map { URL(fileURLWithPath: $0).path }
                let link = try NodeFailureText.translate { try NodeRuntime.prepare(configuration) }
                try ConfigurationFile.write(configuration, to: path)
                output.print(["config": path, "peer": link.text]) {
                    """
                    Configuration: \(path)
                    Peer link, for other operators' bootstrap lists:
                    \(link.text)
                    Next: hulda node run --config \(path)
                    """
                }
            }
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Run the server until it gets SIGTERM or SIGINT.")

        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let configuration = try ConfigurationFile.read(config.path)
                guard let level = Logger.Level(rawValue: configuration.logLevel) else {
                    throw Failure(
                        "log_level: there is no level \(configuration.logLevel)",
                        next: "Use trace, debug, info, notice, warning or error.", code: SysExit.config)
                }
                var logger = Logger(label: "hulda", factory: { StreamLogHandler.standardError(label: $0) })
                logger.logLevel = level
                let node: NodeRuntime
                do {
                    node = try await NodeRuntime.start(configuration, logger: logger)
                } catch {
                    throw NodeFailureText.failure(error)
                }
                await Termination.wait()
                logger.notice("stopping")
                await node.stop()
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What the running server has seen and done: its own statement.")

        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let status = try await NodeClient(try ConfigurationFile.read(config.path)).status()
                output.print(status) { StatusText.full(status) }
            }
        }
    }

    struct Peer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Endorse other clusters, so that those who trust yours admit them.",
            subcommands: [Add.self, Remove.self, List.self])

        struct Add: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Peer with the cluster of a peer link.")
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
            static let configuration = CommandConfiguration(abstract: "End the peering with a cluster.")
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

/// Asks a running node over its socket.
struct NodeClient {
    let configuration: NodeConfiguration

    init(_ configuration: NodeConfiguration) { self.configuration = configuration }

    func ask(_ request: NodeRequest) async throws -> [UInt8] {
        let group = MultiThreadedEventLoopGroup.singleton
        do {
            return try await ControlSocket.ask(
                path: NodeFiles.socketPath(configuration), Array(request.text.utf8), group: group)
        } catch {
            throw Failure(
                "the node \(configuration.clusterName) does not answer", next: "Start it with: hulda node run",
                code: SysExit.unavailable)
        }
    }

    func status() async throws -> NodeStatus { try await decode(ask(.status)) }

    func map(matching question: String) async throws -> MapGraph { try await decode(ask(.map(matching: question))) }

    private func decode<Answer: Decodable>(_ line: [UInt8]) throws -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(line))
        } catch {
            throw Failure(
                "the node's answer is of another version", next: "Use the same version of hulda for both.",
                code: SysExit.data)
        }
    }
}

/// Errors of the node in words, with the next step.
enum NodeFailureText {
    static func translate<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch { throw failure(error) }
    }

    static func failure(_ error: any Error) -> any Error {
        switch error {
        case let error as NodeError:
            switch error {
            case .configuration:
                Failure("\(error)", next: "Correct node.toml; see bootstrap/node.toml.", code: SysExit.config)
            case .unreadable:
                Failure("\(error)", next: "Check the path and that you may read it.", code: SysExit.noInput)
            case .storage:
                Failure(
                    "\(error)", next: "Check free space and permissions, and that no other node uses the directory.",
                    code: SysExit.io)
            case .addressInUse:
                Failure("\(error)", next: "See who listens: ss -ltnup", code: SysExit.os)
            case .cannotListen:
                Failure("\(error)", next: "Use an address of this machine in node.toml.", code: SysExit.os)
            }
        case let error as KeyFile.Failure:
            Failure("\(error)", next: "Restore the key from a backup, or check permissions.", code: SysExit.noInput)
        default: error
        }
    }
}
