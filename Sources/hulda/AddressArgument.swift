import Agent
import ArgumentParser
import NIOCore
import Primitives
import Records
import Terminal

/// Somebody on the command line: a network ID, a link, or a friendly address.
struct AddressOptions: ParsableArguments {
    @Argument(help: "A network ID, a link, or a friendly address (name@cluster).")
    var address: String
    @Flag(help: "Take the ID that a friendly address leads to, although it led to another one before.")
    var acceptChange = false

    /// What the address says: an ID, or a name that has to be looked up.
    func parse() throws -> Parsed {
        let address = address.trimmed
        guard address.contains("@"), !UserLink.isLink(address) else { return .id(try parseID(address)) }
        do throws(FriendlyNameError) {
            let name = try FriendlyName(text: address)
            // A mistyped ClusterID is noticed before anything is asked.
            _ = try ClusterText.decode(name.cluster)
            return .name(name)
        } catch {
            throw Failure(
                "\(address.shown) is not a friendly address: \(error)", next: "Ask its owner how it is written.",
                code: SysExit.usage)
        }
    }

    enum Parsed {
        case id(NetworkID)
        case name(FriendlyName)

        /// The ID; a friendly address is looked up. One that leads elsewhere than before stops the command.
        func resolve(_ agent: AgentRuntime, accepts: Bool, timeout: Seconds) async throws -> Target {
            switch self {
            case .id(let id): return Target(id: id, name: nil)
            case .name(let name):
                let resolved = try await agent.resolveName(name, accepts: accepts, timeout: timeout.amount)
                if case .changed(let expected) = resolved.standing {
                    throw Failure(
                        "\(name.description.shown) leads to \(resolved.id) now; before, it led to \(expected)",
                        next:
                            "Ask its owner in another way which one is right. If the new one is, add --accept-change.",
                        code: SysExit.protocolError)
                }
                return Target(id: resolved.id, name: resolved)
            }
        }
    }

    struct Target {
        let id: NetworkID
        let name: AgentRuntime.ResolvedName?

        /// What a person is told of a friendly address, before anything is done with it.
        var explanation: String? {
            guard let name else { return nil }
            let standing =
                switch name.standing {
                case .new: "resolved for the first time; from now on it is expected to lead to this ID"
                case .known: "leads to the same ID as before"
                case .changed(let expected): "led to \(expected) before"
                case .remembered: "no longer published; this is the ID that it led to before"
                }
            return "\(id.text)\n  name       \(standing)\n  cluster    \(ClusterText.encode(name.cluster))"
        }
    }
}

/// A network ID from text or link, with an error that says what is mistyped.
///
/// Blanks and line ends around it, which come along when it is copied, are left out.
func parseID(_ argument: String) throws -> NetworkID {
    let text = argument.trimmed
    do {
        return try UserLink(text: text).id
    } catch {
        throw Failure(
            "\(text.shown) is not a network ID: \(error)\(suspicion(text))",
            next: "Compare it with the original; IDs begin with hulda1 and detect typing errors. A friendly address is "
                + "name@cluster.", code: SysExit.usage)
    }
}

/// Which character of an ID or link is mistyped, when a single one explains what is wrong.
private func suspicion(_ text: String) -> String {
    let bare = UserLink.isLink(text) ? text.dropFirst(UserLink.scheme.count) : text[...]
    let id = String(bare.prefix { $0 != "?" })
    let characters = Array(id.utf8)
    let suspects = Bech32m.suspects(in: id)
    guard id.lowercased().hasPrefix("hulda1"), suspects.count == 1, let position = suspects.first,
        characters.indices.contains(position)
    else { return "" }
    let character = Character(Unicode.Scalar(characters[position]))
    return "; look at character \(position + 1) of the ID, \u{201C}\(character)\u{201D}"
}

extension String {
    /// Without blanks, tabs and line ends around it.
    var trimmed: String {
        let blanks: Set<Unicode.Scalar> = [" ", "\t", "\n", "\r", "\u{A0}"]
        let rest = unicodeScalars.drop { blanks.contains($0) }.reversed().drop { blanks.contains($0) }.reversed()
        return String(String.UnicodeScalarView(rest))
    }
}
