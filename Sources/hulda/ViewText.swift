import Node
import Terminal

/// Who vouches for the network that a node was shown, in words.
enum ViewText {
    private static let sources = [
        ("lastRun", "of the last run"), ("bootstrapList", "of the bootstrap list"), ("addedPeers", "of added peers"),
        ("knownServers", "of known_servers"),
    ]

    static func text(_ view: NodeStatus.View) -> String {
        let counts = sources.compactMap { name, words -> String? in
            guard let source = view.sources[name], source.named > 0 else { return nil }
            return "\(source.answered) of \(source.named) \(words)"
        }
        let answered = counts.isEmpty ? ": no server to begin with" : "; answered: " + counts.joined(separator: ", ")
        return (view.isTrusted ? "trusted" : "not trusted") + answered
            + view.alarms.map { "; ALARM \($0.detail.shown)" }.joined()
    }
}
