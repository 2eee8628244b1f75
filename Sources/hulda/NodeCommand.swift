import ArgumentParser
import FoundationEssentials
import Glibc
import Node
import Transport

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Run and operate a server of a cluster.",
        subcommands: [
            Init.self, Check.self, Run.self, Status.self, Map.self, Resolve.self, Peer.self,
        ])

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
                The bootstrap list holds peer links of clusters that you trust from the start; it is copied into the \
                data directory. Without one, this is the first cluster of a network. Peer with others afterwards: \
                hulda node peer add LINK, on both sides.

                A message passes five clusters: below that number a network connects servers and carries nothing.

                Keep cluster.key safe: whoever has it speaks for the cluster.

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
                if let list = configuration.bootstrap {
                    configuration.bootstrap = try copy(list, into: data)
                }
                try ConfigurationFile.write(configuration, to: path)
                output.print(["config": path, "peer": link.text]) { summary(path, link.text) }
            }
        }

        /// - Returns: the copy's name within the data directory.
        private func copy(_ list: String, into data: String) throws -> String {
            let name = "bootstrap.txt"
            guard list != "\(data)/\(name)" else { return name }
            // It was read and understood a moment ago.
            let bytes = FileManager.default.contents(atPath: list).map { Array($0) } ?? []
            do throws(DurableFile.Failure) { try DurableFile.write(bytes, to: "\(data)/\(name)") } catch {
                throw Failure(
                    "\(error.path) cannot be written: \(error.reason)",
                    next: "Check free space and that you may write there.", code: SysExit.cantCreate)
            }
            return name
        }

        private func summary(_ path: String, _ link: String) -> String {
            """
            Configuration, with comments: \(path)
            Peer link, for other operators and for bootstrap lists:
            \(link)
            Next: hulda node run --config \(path)
            Then: give your link to other operators and add theirs, each on both sides:
              hulda node peer add LINK --config \(path)
            A message needs five clusters. What is missing:
              hulda node status --config \(path)
            """
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the server until it gets SIGTERM or SIGINT.",
            discussion: """
                Logs to standard error, with --json one JSON object a line. SIGHUP reads the configuration, the lists of \
                peers and cluster.key again; options that only a start can take are named in the log, and a \
                configuration that is wrong changes nothing.

                A server that was killed goes on where it was: nothing that it acknowledged is lost, and no envelope is \
                accepted twice. bootstrap/hulda.service is a unit for systemd, which is told when the server is ready.

                Exit codes: 66 a file cannot be read, 71 the address is in use or too few files may be open, 74 the store, \
                77 others can read a key or write in the directory, 78 the configuration, or a copy of this server that \
                goes on announcing itself.

                Example: hulda node run --config /var/lib/hulda/node.toml
                """)

        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                try await ServerProcess(path: config.path, isJSON: output.json).run()
            }
        }
    }
}
