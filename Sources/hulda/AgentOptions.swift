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
            "A key file instead of a passphrase (default: $HULDA_PASSPHRASE, else asked for).", valueName: "file"))
    var keyFile: String?

    var directory: String { identity.directory }

    /// The key file, the passphrase in the environment, or one typed at the terminal.
    func unlock(creating: Bool = false) throws -> Unlock {
        if let keyFile { return .keyFile(path: keyFile) }
        if let passphrase = PassphraseInput.environment { return .passphrase(passphrase) }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(
                "a passphrase is needed, and there is no terminal to ask at",
                next: "Set HULDA_PASSPHRASE, or use --key-file FILE.", code: SysExit.noPermission)
        }
        let first = PassphraseInput.ask("Passphrase: ")
        if creating {
            guard first.count > 0, ConstantTime.equal(first, PassphraseInput.ask("The same again: ")) else {
                throw Failure(
                    "the two passphrases differ, or are empty", next: "Run the command again.", code: SysExit.usage)
            }
        }
        return .passphrase(SharedSecret(first))
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
        let unlock = try unlocking.unlock()
        let agent = try AgentFailureText.translate {
            try AgentRuntime(
                directory: unlocking.directory, unlock: unlock, local: local ?? environmentAddress)
        }
        if let damage = agent.damageFound {
            StandardStream.write(AgentFailureText.damage(damage) + "\n", to: STDERR_FILENO)
            try AgentFailureText.translate { try agent.acknowledgeDamage() }
        }
        let result: T
        let copy: ForeignRecord?
        do {
            result = try await body(agent)
            if try await agent.isMapRefused() {
                StandardStream.write(AgentFailureText.refusedMap + "\n", to: STDERR_FILENO)
            }
            copy = try await tellOfCopies(agent, output)
            show(await agent.stop(linger: linger), output)
        } catch {
            if let deviation = try? await agent.clockDeviation() {
                StandardStream.write(AgentFailureText.clock(deviation) + "\n", to: STDERR_FILENO)
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

    /// Beside the results, which other programs may read.
    private func show(_ sums: [String: UInt64], _ output: OutputOptions) {
        guard counters else { return }
        output.print(["counters": sums], to: STDERR_FILENO) {
            StatusText.counters(sums).joined(separator: "\n")
        }
    }
}

/// A network ID from text or link, with an error that says what is mistyped.
func parseID(_ text: String) throws -> NetworkID {
    do {
        return text.hasPrefix("hulda:") ? try UserLink(text: text).id : try NetworkID(text: text)
    } catch {
        throw Failure(
            "\(text) is not a network ID: \(error)\(suspicion(text))",
            next: "Compare it with the original; IDs begin with hulda1 and detect typing errors. A friendly address is "
                + "name@cluster.", code: SysExit.usage)
    }
}

/// Which character of an ID or link is mistyped, when a single one explains what is wrong.
private func suspicion(_ text: String) -> String {
    let bare = text.hasPrefix(UserLink.scheme) ? text.dropFirst(UserLink.scheme.count) : text[...]
    let id = String(bare.prefix { $0 != "?" })
    let characters = Array(id.utf8)
    let suspects = Bech32m.suspects(in: id)
    guard id.lowercased().hasPrefix("hulda1"), suspects.count == 1, let position = suspects.first,
        characters.indices.contains(position)
    else { return "" }
    let character = Character(Unicode.Scalar(characters[position]))
    return "; look at character \(position + 1) of the ID, \u{201C}\(character)\u{201D}"
}

/// Errors of the agent in words, with the next step.
enum AgentFailureText {
    /// Said beside a result that was come by with an older map.
    static let refusedMap =
        "warning: few clusters hold the map that this agent was given, so somebody may be hiding servers from you; "
        + "servers of an older map were used. Use another network, or a bootstrap list from somebody whom you trust."

    /// Said once, beside the result of the first command after it was found.
    static func damage(_ damage: AgentDamage) -> String {
        var lines = [
            "warning: the store was damaged (\(damage.problem)); what can be read of it is in use. Check the disk.",
            "         \(losses(damage))",
        ]
        if !damage.isHarmless {
            lines.append(
                "         Messages may come a second time. See hulda inbox --stored, --sent and hulda home list.")
        }
        return (lines + ["         The damaged file is kept; remove it when you have no use for it: \(damage.file)"])
            .joined(separator: "\n")
    }

    private static func losses(_ damage: AgentDamage) -> String {
        let names = ["inbox": "received messages", "outbox": "sent messages", "pins": "names of others"]
        guard !damage.isHarmless else { return "Nothing is lost." }
        let last = damage.mayBeOlder ? " What was written last may be missing too." : ""
        if let lost = damage.lost, !lost.isEmpty {
            let parts = lost.sorted { $0.key < $1.key }.map { "\($0.value) of \(names[$0.key] ?? $0.key)" }
            return "Lost: " + parts.joined(separator: ", ") + "." + last
        }
        guard let entries = damage.entries else { return "Nobody knows how many entries are lost." + last }
        return (entries == 0 ? "No entry is missing." : "Lost: \(entries) entries.") + last
    }

    /// Said beside a failure of which it may be the reason.
    static func clock(_ deviation: Int64) -> String {
        let hours = Double(abs(deviation)) / 3600
        let amount = hours < 1 ? "\(abs(deviation) / 60) min" : "\(Int(hours.rounded())) h"
        return
            "hulda: warning: the clock of this machine is \(amount) \(deviation > 0 ? "ahead of" : "behind") the servers'; "
            + "with a wrong clock nothing is found. Set it: timedatectl set-ntp true"
    }

    static func translate<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch { throw failure(error) }
    }

    static func failure(_ error: any Error) -> any Error {
        guard let failure = error as? AgentFailure else { return error }
        switch failure {
        case .noIdentity(let directory):
            return Failure(
                "there is no identity in \(directory)", next: "Make one: hulda id new --bootstrap FILE",
                code: SysExit.noInput)
        case .identityExists(let directory):
            return Failure(
                "there is an identity in \(directory) already",
                next: "Choose another directory with --home-directory; nothing was changed.", code: SysExit.cantCreate)
        case .inUse(let directory):
            return Failure(
                "another hulda process uses the identity in \(directory)",
                next: "Wait until it ends, or stop it, and run this command again.", code: SysExit.temporary)
        case .wrongPassphrase:
            return Failure(
                "the passphrase or key file does not fit this identity", next: "Try again; nothing was changed.",
                code: SysExit.noPermission)
        case .needsKeyFile:
            return Failure(
                "this identity was made with a key file", next: "Add --key-file FILE.", code: SysExit.noPermission)
        case .needsPassphrase:
            return Failure(
                "this identity was made with a passphrase", next: "Leave --key-file out.", code: SysExit.noPermission)
        case .keyFile(let path, let reason):
            return Failure(
                "the key file \(path): \(reason)", next: "Check the path and that you may read it.",
                code: SysExit.noInput)
        case .exposed(let exposure):
            return Failure("\(exposure)", next: exposure.remedy, code: SysExit.noPermission)
        case .outOfMemory:
            return Failure(
                "not enough memory to check the passphrase", next: "Close other programs and try again.",
                code: SysExit.temporary)
        case .damaged(let reason):
            return Failure(
                "the identity is damaged: \(reason)", next: "Restore the directory from a backup.", code: SysExit.data)
        case .storage(let directory, let reason):
            return Failure(
                "the store in \(directory): \(reason)",
                next: "Check free space and permissions; what was stored is still there.", code: SysExit.io)
        case .damagedStore(let directory, let reason):
            return Failure(
                "the store in \(directory) is damaged: \(reason)",
                next:
                    "Nothing was changed. Restore the whole folder from a copy, or choose another with --home-directory "
                    + "and make a new identity.", code: SysExit.data)
        case .storeRemoved(let directory):
            return Failure(
                "the store in \(directory) was removed or replaced while it was in use",
                next:
                    "Put the whole folder back from a copy. What came in since was not acknowledged and is sent again.",
                code: SysExit.io)
        case .strayStore(let directory):
            return Failure(
                "there is a store in \(directory) and no identity.json, without which nobody can open it",
                next: "Put identity.json back from a copy, or choose another directory with --home-directory.",
                code: SysExit.cantCreate)
        case .bootstrap(let path, let reason):
            return Failure(
                "the bootstrap list \(path): \(reason)",
                next: "Get one from an operator, or start an overlay with: hulda testbed up --dir DIR",
                code: SysExit.noInput)
        case .noGateway(let tried):
            return Failure(
                "no gateway answered (tried \(tried))",
                next: "Check your connection and the bootstrap list; what you queued is kept.",
                code: SysExit.unavailable)
        case .mapRefused(let servers):
            return Failure(
                "few clusters hold the map that this agent was given, so somebody may be hiding servers from you; "
                    + "of an older map only \(servers) servers are left",
                next: "Use another network, or a bootstrap list from somebody whom you trust.",
                code: SysExit.unavailable)
        case .mapTooSmall(let clusters, let needed):
            return Failure(
                "the network has \(clusters) of \(needed) clusters: a path needs servers of \(needed)",
                next: "Try again when more clusters have joined; see which with: hulda register --list",
                code: SysExit.unavailable)
        case .unknownCluster(let name):
            return Failure(
                "no cluster on the map is called \(name)", next: "List the clusters with: hulda register --list",
                code: SysExit.noHost)
        case .ambiguousCluster(let name, let candidates):
            return Failure(
                "\(candidates.count) clusters are called \(name): \(candidates.joined(separator: ", "))",
                next: "Ask which one is meant, and write its ID after the @ instead.", code: SysExit.noHost)
        case .unknownName(let name):
            return Failure(
                "nobody is called \(name) now", next: "Ask the owner for the name again, or for the ID.",
                code: SysExit.noHost)
        case .unknownHome(let name):
            return Failure(
                "you have no home called \(name)", next: "List yours with: hulda home list", code: SysExit.noHost)
        case .wrongAddress(let text):
            return Failure(
                "\(text) is no IP address", next: "Give an address of this machine to --bind.", code: SysExit.usage)
        case .foreignAddress(let text):
            return Failure(
                "\(text) is no address of this machine", next: "Give one of this machine's to --bind; see: ip address",
                code: SysExit.unavailable)
        case .refused(let error):
            return refusal(error)
        case .timedOut:
            return Failure(
                "no answer in time", next: "Try again; what you queued is kept.", code: SysExit.temporary)
        }
    }

    private static func refusal(_ error: AgentError) -> Failure {
        switch error {
        case .notFound(let asked, let missing):
            Failure(
                "nobody publishes this ID now (\(missing) of \(asked) directory servers say so)",
                next: "Ask the owner whether it is right and registered.", code: SysExit.noHost)
        case .noAnswer(let asked):
            Failure(
                "no directory server answered (asked \(asked))", next: "Try again in a minute.", code: SysExit.temporary
            )
        case .tooManyLookups(let limit):
            Failure(
                "\(limit) lookups are under way already", next: "Try again in a minute.", code: SysExit.temporary)
        case .mapTooSmall(let clusters):
            Failure(
                "the map has only \(clusters) clusters: a path needs five", next: "Use a larger bootstrap list.",
                code: SysExit.unavailable)
        case .unknownHome:
            Failure(
                "this server is no home", next: "List the clusters with: hulda register --list", code: SysExit.noHost)
        case .homeRefused(.wrongToken):
            Failure(
                "the cluster wants a registration token, and this is not it",
                next: "Ask its operator, and add --token TOKEN.", code: SysExit.noPermission)
        case .homeRefused(.nameTaken):
            Failure("somebody else has this name", next: "Choose another one.", code: SysExit.cantCreate)
        case .homeRefused(.noMoreNames), .homeRefused(.wrongEpoch):
            Failure(
                "the home gives no name, or no more names to you",
                next: "Give one up with hulda id name NAME --release, or ask another home with --home.",
                code: SysExit.unavailable)
        case .notYourName:
            Failure("this name is not yours", next: "See yours with: hulda id show", code: SysExit.usage)
        case .homeRefused(let refusal):
            Failure("the home refused: \(refusal)", next: "Try another cluster.", code: SysExit.unavailable)
        case .homeUnreachable:
            Failure("the home does not answer", next: "Try again later, or another cluster.", code: SysExit.temporary)
        case .messageTooLong(let limit):
            Failure("a message has at most \(limit) bytes", next: "Send it in parts.", code: SysExit.data)
        case .outboxFull(let limit):
            Failure(
                "\(limit) messages wait in the outbox already", next: "Let them go out: hulda inbox --flush",
                code: SysExit.temporary)
        case .invalidID:
            Failure(
                "this ID is no valid key", next: "Ask the owner for it again.", code: SysExit.data)
        case .notRegistered:
            Failure(
                "you are not registered", next: "Register first: hulda register --home CLUSTER", code: SysExit.usage)
        case .registeredElsewhere:
            Failure(
                "you have an account at another home already",
                next: "Move with hulda home move CLUSTER, or add a second home with hulda home add CLUSTER.",
                code: SysExit.usage)
        case .tooManyHomes(let limit):
            Failure(
                "you have \(limit) homes already, those that are being left included",
                next: "See hulda home list; leave one with: hulda home remove CLUSTER", code: SysExit.usage)
        case .notYourHome:
            Failure("you have no account there", next: "List yours with: hulda home list", code: SysExit.usage)
        case .lastHome:
            Failure(
                "this is your only home", next: "Move to another one instead: hulda home move CLUSTER",
                code: SysExit.usage)
        }
    }
}
