import Node

/// Whether the network that a node was shown is to be believed, in words that say what to do.
enum ViewText {
    private static let sources = [
        ("anchors", "of the last run"), ("bundled", "of the bootstrap list"), ("invitation", "of added peers"),
        ("manual", "of known_servers"),
    ]

    static func lines(_ view: NodeStatus.View) -> [String] {
        let counts = sources.compactMap { name, words -> String? in
            guard let source = view.sources[name], source.named > 0 else { return nil }
            return "\(source.answered) of \(source.named) \(words)"
        }
        let answered = counts.isEmpty ? ": no server to begin with" : "; answered: " + counts.joined(separator: ", ")
        var lines = ["  view       " + (view.isTrusted ? "trusted" : "not trusted") + answered]
        if !view.isTrusted { lines += indented(advice(isAlone: counts.isEmpty)) }
        for alarm in view.alarms {
            lines.append("  ALARM      \(alarm.detail); holds for \(alarm.secondsLeft / 60 + 1) min more")
            lines += indented(advice(alarm.kind))
        }
        return lines
    }

    private static func indented(_ lines: [String]) -> [String] { lines.map { "             " + $0 } }

    private static func advice(isAlone: Bool) -> [String] {
        let means = [
            "Add peers (hulda node peer add LINK), or name servers that you know (known_servers in node.toml): three of",
            "different clusters and networks are to answer, or three that are known from different sources.",
        ]
        return (isAlone ? ["The first cluster of a network begins so."] : ["Wait a minute after a start."]) + means
    }

    /// What to do about an alarm of this kind.
    private static func advice(_ kind: String) -> [String] {
        switch kind {
        case "size":
            [
                "Compare hulda node map with another operator's. Are clusters in yours that are not in the other one,",
                "look at whom you endorse: hulda node peer list",
            ]
        case "anchors":
            [
                "Look whether this machine's UDP gets out. If it does, somebody may show you another network: ask another",
                "operator whether your cluster is on his map.",
            ]
        default:
            [
                "Somebody may be gathering servers. Nobody new is let into the routing table meanwhile, and searches ask",
                "more servers. Ask other operators whether they see the same.",
            ]
        }
    }
}
