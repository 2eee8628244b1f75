import ArgumentParser
import FoundationEssentials
import Logging
import Node

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Run and operate a server of a cluster.",
        subcommands: [Init.self, Run.self, Status.self, Map.self, Resolve.self, Peer.self])

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
                The bootstrap list holds peer links of clusters that you trust from the start; without one, this is the \
                first cluster of a network. Peer with others afterwards: hulda node peer add LINK, on both sides.

                Keep cluster.key safe: who has it speaks for the cluster.

                Examples: hulda node init /var/lib/hulda --name example --listen 198.51.100.7:7411 \
                --bootstrap bootstrap.txt
                          behind port forwarding: --listen 0.0.0.0:7411 --advertise 198.51.100.7:7411
                """)

        @Argument(help: "The data directory; made when it is missing. The configuration is put there as node.toml.")
        var directory: String
        @Option(help: "The cluster's name.")
        var name: String
        @Option(help: ArgumentHelp("The address for TCP and UDP.", valueName: "ip:port"))
        var listen: String
        @Option(help: ArgumentHelp("The address that others use, when it is another.", valueName: "ip:port"))
        var advertise: String?
        @Option(help: ArgumentHelp("A bootstrap list to start from.", valueName: "file"))
        var bootstrap: String?
        @Option(help: "Where you can be reached: an e-mail address or a page. Published.")
        var contact = ""
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let data = try PathArgument.absolute(directory)
                let path = data + "/node.toml"
                guard !FileManager.default.fileExists(atPath: path) else {
                    throw Failure(
                        "\(path) exists already", next: "Choose another directory; nothing was changed.",
                        code: SysExit.cantCreate)
                }
                var configuration = NodeConfiguration(
                    clusterName: name, dataDirectory: data, listen: listen, listenDatagram: listen)
                configuration.advertise = advertise
                configuration.contact = contact
                configuration.bootstrap = bootstrap.map { URL(fileURLWithPath: $0).path }
                let link = try NodeFailureText.translate { try NodeRuntime.prepare(configuration) }
                try ConfigurationFile.write(configuration, to: path)
                output.print(["config": path, "peer": link.text]) {
                    """
                    Configuration: \(path)
                    Peer link, for other operators and for bootstrap lists:
                    \(link.text)
                    Next: hulda node run --config \(path)
                    Then, with each operator who adds your link: hulda node peer add LINK --config \(path)
                    """
                }
            }
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the server until it gets SIGTERM or SIGINT.",
            discussion: """
                Logs to standard error. A server that was killed goes on where it was: nothing that it acknowledged is \
                lost, and no envelope is accepted twice. bootstrap/hulda.service is a unit for systemd.

                Exit codes: 66 a file cannot be read, 71 the address is in use or too few files may be open, 74 the store, \
                77 others can read a key or write in the directory, 78 the configuration, or a copy of this server that \
                goes on announcing itself.

                Example: hulda node run --config /var/lib/hulda/node.toml
                """)

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
                var logger = Logger(label: "hulda", factory: { LegibleLog(StreamLogHandler.standardError(label: $0)) })
                logger.logLevel = level
                let node: NodeRuntime
                do {
                    node = try await NodeRuntime.start(configuration, logger: logger)
                } catch {
                    throw NodeFailureText.failure(error)
                }
                let failure = await withTaskGroup(of: NodeError?.self) { group in
                    group.addTask {
                        await Termination.wait()
                        return nil
                    }
                    group.addTask { await node.failures.first { _ in true } }
                    defer { group.cancelAll() }
                    return await group.next() ?? nil
                }
                logger.notice("stopping")
                await node.stop()
                if let failure { throw NodeFailureText.failure(failure) }
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What the running server has seen and done: its own statement.",
            discussion: """
                Made from the server's own tables: as gateway, the number of agents; as mix, neighbours and numbers \
                of envelopes; as home, accounts; and a count of everything that was dropped, by reason. What each role \
                may know stands in specs/overview.md. Exit code 69 when it does not run.

                Example: hulda node status --config /var/lib/hulda/node.toml --json
                """)

        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let status = try await NodeClient(try ConfigurationFile.read(config.path)).status()
                output.print(status) { StatusText.full(status) }
            }
        }
    }
}
