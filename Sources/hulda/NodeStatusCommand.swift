import ArgumentParser
import Node

extension NodeCommand {
    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Whether the running server is well, what to do if not, and what it has seen: its own statement.",
            discussion: """
                The first line is the verdict: healthy; degraded, when it works and somebody has to look after it; or \
                not usable. Below stands what the server's own tables hold: as gateway, mailboxes of agents; as mix, \
                neighbours and numbers of envelopes; as home, accounts. What each role may know stands in \
                specs/overview.md, what each counter counts in specs/counters.md.

                With --check it prints the verdict alone, for monitoring; exit codes: 0 healthy, 1 degraded, 2 not \
                usable or not running. Without: 69 when the server does not run.

                Examples: hulda node status --config /var/lib/hulda/node.toml
                          hulda node status --config /var/lib/hulda/node.toml --check
                          hulda node status --config /var/lib/hulda/node.toml --json
                """)

        @Flag(help: "Print the verdict alone, and exit with 0, 1 or 2.")
        var check = false
        @Flag(help: "List what was counted, also of what was dropped and why.")
        var counters = false
        @Flag(help: "List the accounts.")
        var accounts = false
        @Flag(help: "Print the verdict and the counters as text for Prometheus.")
        var prometheus = false
        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func validate() throws {
            guard [check, output.json, prometheus].count(where: \.self) < 2 || (check && output.json) else {
                throw ValidationError("Choose one of --check, --prometheus and --json.")
            }
            guard !(check || prometheus || output.json) || !(counters || accounts) else {
                throw ValidationError("--counters and --accounts belong to the text; --json has both anyway.")
            }
        }

        func run() async throws {
            try await output.run {
                let client = NodeClient(try ConfigurationFile.read(config.path))
                let status: NodeStatus
                do { status = try await client.status() } catch let failure as Failure where check {
                    output.print(NodeVerdict(findings: [.init(.unusable, failure.message, next: failure.next)])) {
                        StatusText.finding(.init(.unusable, failure.message, next: failure.next)).joined(
                            separator: "\n")
                    }
                    throw ExitCode(2)
                }
                if prometheus { return output.print("") { Metrics.text(status) } }
                guard check else {
                    return output.print(status) { StatusText.full(status, counters: counters, accounts: accounts) }
                }
                output.print(status.verdict) { StatusText.verdict(status).joined(separator: "\n") }
                switch status.verdict.state {
                case .healthy: break
                case .degraded: throw ExitCode(1)
                case .unusable: throw ExitCode(2)
                }
            }
        }
    }
}

/// A statement in the text format of Prometheus: for a collector that reads files or runs programs.
enum Metrics {
    static func text(_ status: NodeStatus) -> String {
        let state = [NodeVerdict.State.healthy, .degraded, .unusable].firstIndex(of: status.verdict.state) ?? 2
        let gauges: [(name: String, value: UInt64)] = [
            ("state", UInt64(state)), ("usable_clusters", UInt64(status.map.usableClusters)),
            ("linked_servers", UInt64(status.map.linkedServers)), ("accounts", UInt64(status.home.accountsTotal)),
            ("items", UInt64(status.home.items)), ("records", UInt64(status.directory.records)),
            ("store_used_bytes", UInt64(status.store.usedBytes)),
            ("certificate_seconds_left", status.keys.certificateSecondsLeft),
            ("resident_bytes", status.server.residentKiB * 1024), ("uptime_seconds", status.server.uptimeSeconds),
        ]
        let sums = status.counters.sorted { $0.key < $1.key }.map { name, value in
            ("hulda_\(name.map { $0.isLetter || $0.isNumber ? "\($0)" : "_" }.joined())_total", "counter", value)
        }
        let lines = gauges.map { ("hulda_\($0.name)", "gauge", $0.value) } + sums
        return lines.map { "# TYPE \($0.0) \($0.1)\n\($0.0) \($0.2)" }.joined(separator: "\n")
    }
}
