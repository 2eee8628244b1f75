import Agent
import ArgumentParser
import Correspondence
import FoundationEssentials
import Glibc
import NIOCore
import Primitives
import Records

/// Where the user's state is.
struct IdentityOptions: ParsableArguments {
    @Option(
        name: .customLong("home-directory"),
        help: ArgumentHelp(
            "Where your identity and messages are kept (default: $HULDA_HOME, else $XDG_DATA_HOME/hulda).",
            valueName: "directory"))
    var homeDirectory: String?

    var directory: String {
        if let homeDirectory { return homeDirectory }
        let environment = ProcessInfo.processInfo.environment
        if let home = environment["HULDA_HOME"], !home.isEmpty { return home }
        if let data = environment["XDG_DATA_HOME"], !data.isEmpty { return data + "/hulda" }
        return (environment["HOME"] ?? ".") + "/.local/share/hulda"
    }
}

/// Where the user's state is and how it is unlocked.
struct UnlockOptions: ParsableArguments {
    @OptionGroup var identity: IdentityOptions

    @Option(
        help: ArgumentHelp(
            "A key file instead of a passphrase (default: $HULDA_KEY_FILE; for a passphrase $HULDA_PASSPHRASE, else asked for).",
            valueName: "file"))
    var keyFile: String?

    var directory: String { identity.directory }

    /// What opens the identity. What can be found wrong before is told before anybody is asked for a passphrase.
    /// - Parameter alone: whether the command needs the identity for itself.
    func unlock(alone: Bool) throws -> Unlock {
        try AgentFailureText.translate {
            let standing = try AgentRuntime.standing(directory: directory)
            if alone, standing.isInUse { throw AgentFailure.inUse(directory: directory) }
            if standing.needsKeyFile {
                guard let path = keyFile ?? variable("HULDA_KEY_FILE") else { throw AgentFailure.needsKeyFile }
                return .keyFile(path: path)
            }
            guard keyFile == nil else { throw AgentFailure.needsPassphrase }
            return .passphrase(try PassphraseInput.environment ?? SharedSecret(ask("Passphrase: ")))
        }
    }

    /// Refuses an identity that is not there, or that another process uses.
    func checkFree() throws {
        try AgentFailureText.translate {
            if try AgentRuntime.standing(directory: directory).isInUse {
                throw AgentFailure.inUse(directory: directory)
            }
        }
    }

    /// What is to open a new identity.
    func unlockNew() throws -> Unlock {
        if let path = keyFile ?? variable("HULDA_KEY_FILE") { return .keyFile(path: path) }
        if let passphrase = PassphraseInput.environment { return .passphrase(passphrase) }
        let first = try ask("New passphrase: ")
        guard first.count > 0 else {
            throw Failure(
                "the passphrase is empty: whoever copies the directory could read everything",
                next: "Choose one, for example five random words, or use --key-file FILE.", code: SysExit.usage)
        }
        let second = try ask("The same again: ")
        guard ConstantTime.equal(first, second) else {
            throw Failure("the two passphrases differ", next: "Run the command again.", code: SysExit.usage)
        }
        return .passphrase(SharedSecret(first))
    }

    private func ask(_ question: String) throws -> SecretBytes {
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(
                "a passphrase is needed, and there is no terminal to ask at",
                next: "Set HULDA_PASSPHRASE, or use --key-file FILE.", code: SysExit.noPermission)
        }
        return try PassphrasePrompt.ask(question)
    }

    /// A variable of the environment; an empty one is not set.
    private func variable(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// The user's state, and the way to the network.
struct AgentOptions: ParsableArguments {
    @OptionGroup var unlocking: UnlockOptions

    @Option(
        name: .customLong("bind"),
        help: ArgumentHelp(
            "The address of this machine to connect from, when it has several (default: $HULDA_BIND).", valueName: "ip")
    )
    var local: String?

    @Flag(help: "Say at the end, on standard error, what was sent and received, and what was dropped for which reason.")
    var counters = false

    private var environmentAddress: String? {
        ProcessInfo.processInfo.environment["HULDA_BIND"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Opens the identity, runs `body` with the agent connected, and stops it.
    /// - Parameters:
    ///   - output: how the counters are written, if they are asked for.
    ///   - linger: what is under way at the end gets so long.
    func withAgent<T>(
        _ output: OutputOptions, linger: TimeAmount = AgentRuntime.linger, _ body: (AgentRuntime) async throws -> T
    ) async throws -> T {
        let unlock = try unlocking.unlock(alone: true)
        let agent = try AgentFailureText.translate {
            try AgentRuntime(
                directory: unlocking.directory, unlock: unlock, local: local ?? environmentAddress)
        }
        if let damage = agent.damageFound {
            OutputOptions.tell(AgentFailureText.damage(damage))
            try AgentFailureText.translate { try agent.acknowledgeDamage() }
        }
        let result: T
        let copy: ForeignRecord?
        do {
            result = try await body(agent)
            if try await agent.isMapRefused() {
                OutputOptions.tell(AgentFailureText.refusedMap)
            }
            copy = try await tellOfCopies(agent, output)
            show(await agent.stop(linger: linger), output)
        } catch {
            if let deviation = try? await agent.clockDeviation() {
                OutputOptions.tell(AgentFailureText.clock(deviation))
            }
            _ = try? await tellOfCopies(agent, output)
            show(await agent.stop(linger: linger), output)
            throw AgentFailureText.failure(error)
        }
        // What there was is shown; that nothing more comes here must not look like success.
        if copy?.revokesOwn == true { throw SysExit.noPermission }
        return result
    }

    private func tellOfCopies(_ agent: AgentRuntime, _ output: OutputOptions) async throws -> ForeignRecord? {
        let record = try await agent.foreignRecord()
        if let record { CopyText(record).show(output) }
        return record
    }

    /// Reads what is stored, also while another process runs with the identity; nothing is connected.
    /// - Parameters:
    ///   - beside: reads it beside that process.
    ///   - alone: reads it when there is none; then damage is found and told as by any other command.
    func stored<T>(
        _ output: OutputOptions, beside: (AgentArchive) throws -> T, alone: (AgentRuntime) async throws -> T
    ) async throws -> T {
        let isInUse = try AgentFailureText.translate {
            try AgentRuntime.standing(directory: unlocking.directory).isInUse
        }
        guard isInUse else { return try await withAgent(output, alone) }
        let unlock = try unlocking.unlock(alone: false)
        return try AgentFailureText.translate {
            try beside(AgentArchive(directory: unlocking.directory, unlock: unlock))
        }
    }

    /// Beside the results, which other programs may read.
    private func show(_ sums: [String: UInt64], _ output: OutputOptions) {
        guard counters else { return }
        output.print(CountersReport(counters: sums), to: STDERR_FILENO) {
            StatusText.counters(sums).joined(separator: "\n")
        }
    }
}
