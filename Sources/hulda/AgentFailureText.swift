import Agent
import ArgumentParser
import Correspondence
import Terminal

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
                "there is no identity in \(directory.shown)", next: "Make one: hulda id new --bootstrap FILE",
                code: SysExit.noInput)
        case .identityExists(let directory):
            return Failure(
                "there is an identity in \(directory.shown) already",
                next: "Choose another directory with --home-directory; nothing was changed.", code: SysExit.cantCreate)
        case .inUse(let directory):
            return Failure(
                "another hulda process, perhaps hulda inbox --follow, uses the identity in \(directory.shown)",
                next: "Sending while it runs is not possible yet: stop it, or wait until it ends, and run this command "
                    + "again. These work beside it: hulda inbox --stored, hulda inbox --sent, hulda home list.",
                code: SysExit.temporary)
        case .wrongPassphrase:
            return Failure(
                "the passphrase or key file does not fit this identity", next: "Try again; nothing was changed.",
                code: SysExit.noPermission)
        case .needsKeyFile:
            return Failure(
                "this identity was made with a key file", next: "Add --key-file FILE, or set HULDA_KEY_FILE.",
                code: SysExit.noPermission)
        case .needsPassphrase:
            return Failure(
                "this identity was made with a passphrase", next: "Leave --key-file out.", code: SysExit.noPermission)
        case .keyFile(let path, let reason):
            return Failure(
                "the key file \(path.shown): \(reason)", next: "Check that it is there and that you may read it.",
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
                "the store in \(directory.shown): \(reason)",
                next: "Check free space and permissions; what was stored is still there.", code: SysExit.io)
        case .damagedStore(let directory, let reason):
            return Failure(
                "the store in \(directory.shown) is damaged: \(reason)",
                next:
                    "Nothing was changed. Restore the whole folder from a copy, or choose another with --home-directory "
                    + "and make a new identity.", code: SysExit.data)
        case .storeRemoved(let directory):
            return Failure(
                "the store in \(directory.shown) was removed or replaced while it was in use",
                next:
                    "Put the whole folder back from a copy. What came in since was not acknowledged and is sent again.",
                code: SysExit.io)
        case .strayStore(let directory):
            return Failure(
                "there is a store in \(directory.shown) and no identity.json, without which nobody can open it",
                next: "Put identity.json back from a copy, or choose another directory with --home-directory.",
                code: SysExit.cantCreate)
        case .bootstrap(let path, let reason):
            return Failure(
                "the bootstrap list \(path.shown): \(reason)",
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
        case .unknownCluster(let name, let known):
            let nearest = Spelling.nearest(to: name, among: known).map { "Did you mean \($0.shown)? " } ?? ""
            return Failure(
                "no cluster on the map is called \(name.shown)",
                next: nearest + "List the clusters with: hulda register --list", code: SysExit.noHost)
        case .ambiguousCluster(let name, let candidates):
            return Failure(
                "\(candidates.count) clusters are called \(name.shown): "
                    + candidates.prefix(8).joined(separator: ", "),
                next: "Ask its operator or your friend for the ID, and write it in the place of the name.",
                code: SysExit.noHost)
        case .unknownName(let name):
            return Failure(
                "\(name.shown) leads to nobody now", next: "Ask its owner for the name again, or for the ID.",
                code: SysExit.noHost)
        case .unknownHome(let name):
            return Failure(
                "you have no home called \(name.shown)", next: "List yours with: hulda home list", code: SysExit.noHost)
        case .wrongAddress(let text):
            return Failure(
                "\(text.shown) is not an IP address", next: "Give an address of this machine to --bind.",
                code: SysExit.usage)
        case .foreignAddress(let text):
            return Failure(
                "\(text.shown) is not an address of this machine",
                next: "Give one of this machine's to --bind; see: ip address", code: SysExit.unavailable)
        case .refused(let error):
            return AgentErrorText.failure(error)
        case .timedOut:
            return Failure(
                "no answer in time", next: "Try again; what you queued is kept.", code: SysExit.temporary)
        }
    }
}
