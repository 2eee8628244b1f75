import ArgumentParser

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
}
