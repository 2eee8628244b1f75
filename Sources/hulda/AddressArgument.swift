import Agent
import ArgumentParser
import NIOCore
import Records

/// Somebody on the command line: a network ID, a link, or a friendly address.
struct AddressOptions: ParsableArguments {
    @Argument(help: "A network ID, a link, or a friendly address (name@cluster).")
    var address: String
    @Flag(help: "Take the ID that a friendly address leads to, although it led to another one before.")
    var acceptChange = false

    /// What the address says: an ID, or a name that has to be looked up.
    func parse() throws -> Parsed {
        guard address.contains("@"), !address.hasPrefix(UserLink.scheme) else { return .id(try parseID(address)) }
        do throws(FriendlyNameError) {
            let name = try FriendlyName(text: address)
            // A mistyped ClusterID is noticed before anything is asked.
            _ = try ClusterText.decode(name.cluster)
            return .name(name)
        } catch {
            throw Failure("\(address) is no friendly address: \(error)", next: "Ask the owner.", code: SysExit.usage)
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
                        "\(name) leads to \(resolved.id) now; before it led to \(expected)",
                        next: "Ask its owner by another way. If it is right, add --accept-change.",
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
                case .new: "seen for the first time: this ID is expected from now on"
                case .known: "as before"
                case .changed(let expected): "led to \(expected) before"
                case .remembered: "leads nowhere now; this is the ID that it led to"
                }
            return "\(id.text)\n  name       \(standing); cluster \(ClusterText.encode(name.cluster))"
        }
    }
}
