import Node

/// A configuration as the text of `node.toml`, every option with a comment that explains it.
enum ConfigurationText {
    static func of(_ configuration: NodeConfiguration) -> String {
        let header = """
            # Configuration of one Hulda server. Check it with: hulda node check --config FILE
            # A running server takes new values of the options marked (live) when it gets SIGHUP: systemctl reload hulda

            """
        return header
            + NodeOption.all.filter { $0.isListed || $0.value(configuration) != nil }.map { option in
                let comment = option.explanation + (option.isLive ? " (live)" : "")
                let lines = comment.split(separator: "\n").map { "# \($0)\n" }.joined()
                let value = option.value(configuration)
                return "\n\(lines)\(value == nil ? "# " : "")\(option.name) = \(text(value ?? option.sample))\n"
            }.joined()
    }

    private static func text(_ value: NodeOption.Value) -> String {
        switch value {
        case .number(let number): "\(number)"
        case .flag(let flag): "\(flag)"
        case .text(let text): quoted(text)
        case .texts(let texts): "[" + texts.map(quoted).joined(separator: ", ") + "]"
        }
    }

    /// A basic string of TOML 1.0.
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5c: out += "\\" + String(scalar)
            case 0..<0x20, 0x7f:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
