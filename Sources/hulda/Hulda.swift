import ArgumentParser
import Glibc

@main
struct Hulda: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hulda",
        abstract: "Reach people, not devices: sessions with whoever owns a network ID.",
        discussion: """
            Users:      hulda id new, hulda register, hulda resolve ID, hulda send ID TEXT, hulda inbox
            Operators:  hulda node init, hulda node run, hulda node status, hulda node peer
            Everybody:  hulda testbed up starts an overlay of several clusters on this machine
            Auditors:   hulda simulate runs experiments on networks of up to 100,000 simulated servers
                        hulda audit evidence FILE checks a proof that a cluster contradicted itself
                        hulda audit membership FILE… checks who is in the map, and whether nodes have the same

            Completion scripts: hulda --generate-completion-script bash|zsh|fish
            Exit codes follow sysexits.h: 64 usage, 65 data, 68 unknown user, 69 service unavailable, 75 try again \
            later (nothing is lost), 77 permission or passphrase, 78 configuration.
            """,
        version: "hulda 0.1.0",
        subcommands: [
            NodeCommand.self, IDCommand.self, RegisterCommand.self, HomeCommand.self, ResolveCommand.self,
            SendCommand.self,
            InboxCommand.self, TestbedCommand.self, SimulateCommand.self, AuditCommand.self,
        ])

    static func main() async {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            if isForPrograms, exitCode(for: error) == SysExit.usage, !(error is ExitCode) {
                // The last line says where to read on.
                let next = fullMessage(for: error).split(separator: "\n").last.map(String.init) ?? ""
                OutputOptions.printFailure(message(for: error), next: String(next.drop { $0 == " " }))
            } else {
                exit(withError: error)
            }
            Glibc.exit(exitCode(for: error).rawValue)
        }
    }

    /// Whether a program reads what is printed; arguments that could not be understood are looked at as they are.
    private static var isForPrograms: Bool {
        CommandLine.arguments.dropFirst().prefix { $0 != "--" }.contains("--json")
    }
}
