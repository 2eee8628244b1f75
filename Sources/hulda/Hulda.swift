import ArgumentParser
import Glibc
import Terminal
import Transport

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
            Exit codes follow sysexits.h:
            64 wrong use            65 wrong data           66 a file cannot be read
            68 nobody of that name  69 no network           70 a fault of hulda
            71 the system refused   73 exists or is taken   74 the disk
            75 later; nothing lost  76 a contradiction      77 passphrase, permission
            78 the configuration    130 Ctrl-C at a question
            """,
        version: "hulda 0.1.0",
        subcommands: [
            NodeCommand.self, IDCommand.self, RegisterCommand.self, HomeCommand.self, ResolveCommand.self,
            SendCommand.self,
            InboxCommand.self, TestbedCommand.self, SimulateCommand.self, AuditCommand.self,
        ])

    static func main() async {
        // Before anything is read that nobody else may see.
        ProcessShield.raise()
        FileDescriptors.raise()
        do {
            try CommandName.check(CommandLine.arguments.dropFirst(), in: Hulda.self)
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                // Not for help, which is to be had anywhere.
                checkDescriptors()
                try await command.run()
            } else {
                try command.run()
            }
        } catch let code as ExitCode {
            Glibc.exit(code.rawValue)
        } catch {
            let code = exitCode(for: error)
            // Help that was asked for is text of our own, on standard output.
            guard code != .success else { exit(withError: error) }
            if isForPrograms, code == SysExit.usage {
                // The last line says where to read on.
                let next = legible(fullMessage(for: error)).split(separator: "\n").last.map(String.init) ?? ""
                OutputOptions.printFailure(legible(message(for: error)), next: String(next.drop { $0 == " " }))
            } else {
                OutputOptions.tell(legible(fullMessage(for: error)))
            }
            Glibc.exit(code.rawValue)
        }
    }

    /// SwiftNIO ends the process with a signal where there are too few.
    private static func checkDescriptors() {
        let needed = FileDescriptors.needed
        guard !FileDescriptors.areFree(needed) else { return }
        let failure = Failure(
            "this process may not open as many files and sockets as it needs: \(needed)",
            next: "Raise the limit: ulimit -n \(2 * needed), or LimitNOFILE= in a unit of systemd. A server with many "
                + "links needs 65536.",
            code: SysExit.os)
        OutputOptions.printFailure(failure, json: isForPrograms)
        Glibc.exit(failure.code.rawValue)
    }

    /// An error of the argument parser, which repeats arguments as they are: they may have been pasted.
    private static func legible(_ text: String) -> String {
        CommandLine.arguments.dropFirst().reduce(text) { text, argument in
            // `--option=value`: the value alone is repeated.
            let value = argument.firstIndex(of: "=").map { String(argument[argument.index(after: $0)...]) } ?? ""
            return [argument, value].filter { !$0.isEmpty && $0 != $0.shown }
                .reduce(text) { $0.replacing($1, with: $1.shown) }
        }
    }

    /// Whether a program reads what is printed; arguments that could not be understood are looked at as they are.
    private static var isForPrograms: Bool {
        CommandLine.arguments.dropFirst().prefix { $0 != "--" }.contains("--json")
    }
}
