import ArgumentParser
import Node
import Terminal

extension NodeCommand {
    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try a configuration without starting the server: options, keys, lists, store, addresses, clock.",
            discussion: """
                Run it as the server's user, before a start or a reload. While the server runs, its store and addresses \
                are in use by right and not tried.

                Exit codes: 0 all is well, 1 the server starts but somebody should look at the warnings; else the code \
                with which the start would end: 66 files, keys and lists, 71 addresses, 74 the store, 77 permissions, 78 the \
                configuration.

                Example: hulda node check --config /var/lib/hulda/node.toml
                """)

        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let configuration = try ConfigurationFile.readValid(config.path)
                let isRunning = (try? await NodeClient(configuration).status()) != nil
                let check = NodeCheck(configuration, path: config.path, isRunning: isRunning)
                for finding in check.findings {
                    output.print(finding) { Check.text(finding).joined(separator: "\n") }
                }
                if let error = check.findings.first(where: { $0.level == .error }) { throw Check.code(error.part) }
                if check.findings.contains(where: { $0.level == .warning }) { throw ExitCode(1) }
            }
        }

        private static func text(_ finding: NodeCheck.Finding) -> [String] {
            let word = finding.level.rawValue
            let first = word + String(repeating: " ", count: 9 - word.count)
            return StatusText.wrapped(ForeignText.inline(finding.what, limit: 1000), first: first, rest: "         ")
                + (finding.next.map {
                    StatusText.wrapped(
                        ForeignText.inline($0, limit: 1000), first: "         Do: ", rest: "             ")
                }
                    ?? [])
        }

        private static func code(_ part: NodeCheck.Part) -> ExitCode {
            switch part {
            case .configuration: SysExit.config
            case .permissions: SysExit.noPermission
            case .files, .keys, .lists: SysExit.noInput
            case .store: SysExit.io
            case .addresses: SysExit.os
            case .clock: ExitCode(1)
            }
        }
    }
}
