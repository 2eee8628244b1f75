import ArgumentParser
import FoundationEssentials
import Glibc
import Node
import Wire

struct TestbedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "testbed",
        abstract:
            "An overlay of several one-server clusters on this machine, each a process with its own 127.x address.",
        discussion: """
            Example: hulda testbed up --clusters 7 --dir /tmp/net
                     hulda id new --bootstrap /tmp/net/bootstrap.txt
            """,
        subcommands: [Up.self, Down.self, Status.self])

    struct DirectoryOption: ParsableArguments {
        @Option(name: .customLong("dir"), help: ArgumentHelp("The testbed's folder.", valueName: "directory"))
        var path: String

        func testbed() throws -> Testbed { Testbed(directory: try PathArgument.absolute(path)) }

        /// One that was made before.
        func existing() throws -> Testbed {
            let testbed = try testbed()
            guard !testbed.members.isEmpty else {
                throw Failure(
                    "there is no testbed in \(path)", next: "Start one with: hulda testbed up --dir \(path)",
                    code: SysExit.noInput)
            }
            return testbed
        }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start it, or start again whatever of it does not run.",
            discussion: """
                Makes keys, configurations and a bootstrap list below the folder, one folder a cluster, and starts a \
                process for each. Returns when every node knows all others. Messages need five clusters at least.

                Example: hulda testbed up --clusters 7 --dir /tmp/net
                """)

        @Option(help: "How many clusters, for a new testbed.")
        var clusters = 7
        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "For a new testbed: the clusters' addresses are 127.N.0.1, 127.N+1.0.1 and so on.", valueName: "N"))
        var network = 21
        @OptionGroup var directory: DirectoryOption
        @OptionGroup var output: OutputOptions
        @Option(
            parsing: .unconditional,
            help: ArgumentHelp("Seconds to wait until every node knows the others.", valueName: "seconds"))
        var timeout = Seconds(60)

        func run() async throws {
            try await output.run {
                let testbed = try directory.testbed()
                guard (1...Testbed.clusterLimit).contains(clusters) else {
                    throw Failure(
                        "a testbed has 1 to \(Testbed.clusterLimit) clusters", next: "Choose another number.",
                        code: SysExit.usage)
                }
                guard network > 0, network + clusters <= 255 else {
                    throw Failure(
                        "the addresses 127.\(network).0.1 and up do not leave room for \(clusters) clusters",
                        next: "Choose a smaller --network.", code: SysExit.usage)
                }
                if testbed.members.isEmpty { try testbed.create(clusters, firstOctet: network) }
                let members = testbed.members
                var started: [String: pid_t] = [:]
                for member in members where testbed.runningProcess(member) == nil {
                    started[member.name] = try testbed.start(member)
                }
                try await waitUntilKnown(testbed, members, started)
                output.print(
                    UpReport(clusters: members.count, started: started.count, bootstrap: testbed.bootstrapPath)
                ) {
                    """
                    \(members.count) clusters run, \(started.count) of them started now; each knows all others.
                    Bootstrap list: \(testbed.bootstrapPath)
                    """
                }
            }
        }

        private struct UpReport: Encodable {
            let clusters: Int
            let started: Int
            let bootstrap: String
        }

        private func waitUntilKnown(
            _ testbed: Testbed, _ members: [Testbed.Member], _ started: [String: pid_t]
        ) async throws {
            let deadline = Date().addingTimeInterval(Double(timeout.count))
            var waiting = try members.map { ($0, NodeClient(try ConfigurationFile.read($0.configurationPath))) }
            while !waiting.isEmpty {
                // Of all, not of the first that is waited for: one that cannot start says so at once.
                if let (member, code) = testbed.ended(members, started) {
                    testbed.stop(members.filter { started[$0.name] != nil })
                    throw Failure(
                        "\(member.name) has ended: \(testbed.lastWords(member))",
                        next:
                            "The whole log is in \(member.logPath). What was started now was stopped. Other addresses: "
                            + "a new --dir with another --network.",
                        code: code ?? SysExit.unavailable)
                }
                var still: [(Testbed.Member, NodeClient)] = []
                for (member, client) in waiting {
                    guard let status = try? await client.status(), status.map.servers >= members.count else {
                        still.append((member, client))
                        continue
                    }
                }
                waiting = still
                guard let (member, _) = waiting.first else { return }
                guard Date() < deadline else {
                    throw Failure(
                        "\(member.name) did not get to know all others in \(timeout.count) s",
                        next: "Read \(member.logPath), or wait longer with --timeout.", code: SysExit.temporary)
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    struct Down: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop all its processes; its folder is kept.",
            discussion: """
                hulda testbed up --dir DIR starts the same overlay again; delete the folder when it is not wanted any \
                more.

                Example: hulda testbed down --dir /tmp/net
                """)

        @OptionGroup var directory: DirectoryOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let stopped = try directory.existing().stopAll()
                output.print(["stopped": stopped]) { "Stopped \(stopped) processes." }
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Each node's own statement of what it saw, side by side, and the memory of all.",
            discussion: """
                With --json, everything that each node states, as with: hulda node status --json

                Example: hulda testbed status --dir /tmp/net
                """)

        @OptionGroup var directory: DirectoryOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let members = try directory.existing().members
                var rows: [(name: String, status: NodeStatus?)] = []
                for member in members {
                    let status = try? await NodeClient(try ConfigurationFile.read(member.configurationPath)).status()
                    rows.append((member.name, status))
                }
                let resident = rows.compactMap { $0.status?.server.residentKiB }.reduce(0, +)
                let report = StatusReport(
                    nodes: rows.compactMap(\.status), running: rows.count { $0.status != nil }, residentKiB: resident)
                output.print(report) {
                    StatusText.table(rows)
                        + "\nResident memory of all \(report.running) processes: \(resident / 1024) MiB"
                }
            }
        }

        private struct StatusReport: Encodable {
            let nodes: [NodeStatus]
            let running: Int
            let residentKiB: UInt64
        }
    }
}
