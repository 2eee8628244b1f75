import Agent
import ArgumentParser
import Glibc
import Primitives
import Records
import Terminal

/// What `hulda inbox --delete` is to delete.
enum InboxDeletion {
    /// Digits of a message's ID that are shown, and that are enough to name it.
    static let prefixLength = 8

    case read
    case from(NetworkID)
    /// A message, by the beginning of its ID in hexadecimal.
    case message(String)

    init(_ text: String) throws {
        let text = text.trimmed.lowercased()
        if text == "read" {
            self = .read
        } else if (InboxDeletion.prefixLength...32).contains(text.utf8.count), text.allSatisfy(\.isHexDigit) {
            self = .message(text)
        } else {
            self = .from(try parseID(text))
        }
    }

    func perform(_ agent: AgentRuntime, isSure: Bool, _ output: OutputOptions) async throws {
        let deletion: AgentRuntime.Deletion =
            switch self {
            case .read: .read
            case .from(let id): .from(id)
            case .message(let prefix): .message(try await InboxDeletion.find(prefix, agent))
            }
        if !isSure, !output.json, isatty(STDIN_FILENO) == 1 { try await confirm(deletion, agent) }
        let count = try await agent.delete(deletion)
        output.print(DeletionReport(deleted: count)) { "\(InboxDeletion.messages(count)) deleted." }
    }

    private static func find(_ prefix: String, _ agent: AgentRuntime) async throws -> Bytes16 {
        let found = try await agent.storedMessages().map(\.messageID).filter { $0.hex.hasPrefix(prefix) }
        guard let id = found.first, found.count == 1 else {
            throw Failure(
                found.isEmpty
                    ? "no message that you received has an ID that begins with \(prefix)"
                    : "the IDs of \(found.count) messages begin with \(prefix)",
                next: "See the IDs with: hulda inbox --stored --json; nothing was deleted.", code: SysExit.data)
        }
        return id
    }

    /// Several messages are not deleted by a slip of a person's fingers.
    private func confirm(_ deletion: AgentRuntime.Deletion, _ agent: AgentRuntime) async throws {
        if case .message = self { return }
        let count = try await agent.count(deletion)
        guard count > 0 else { return }
        throw Failure(
            "this deletes \(InboxDeletion.messages(count)) from this disk for good",
            next: "Add --yes to do it; nothing was deleted.", code: SysExit.usage)
    }

    private static func messages(_ count: Int) -> String { count == 1 ? "1 message" : "\(count) messages" }
}
