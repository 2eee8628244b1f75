import ArgumentParser
import Terminal

/// The words of the command line that name a command.
enum CommandName {
    /// Refuses a word that stands where a command's name belongs and is none, with the nearest one; `help nonsense` too.
    static func check(_ arguments: some Sequence<String>, in root: any ParsableCommand.Type) throws {
        var words = Array(arguments.prefix { !$0.hasPrefix("-") })
        if words.first == "help" { words.removeFirst() }
        var command = root
        for word in words where word != "help" {
            let commands = command.configuration.subcommands
            guard !commands.isEmpty else { return }
            guard let next = commands.first(where: { $0._commandName == word }) else {
                let hint =
                    nearest(to: word, among: commands.map { $0._commandName })
                    .map { " Did you mean \u{201C}\($0)\u{201D}?" } ?? ""
                throw ValidationError("There is no command \u{201C}\(word.shown)\u{201D}.\(hint)")
            }
            command = next
        }
    }

    /// The one of `names` that differs in the fewest letters, if these are few; `nil` when none is near.
    static func nearest(to word: String, among names: [String]) -> String? {
        let word = word.lowercased()
        guard word.count <= 64 else { return nil }
        let limit = max(1, word.count / 3)
        return names.map { ($0, distance(word, $0.lowercased())) }
            .filter { $0.1 <= limit || (word.count >= 2 && $0.0.lowercased().hasPrefix(word)) }
            .min { $0.1 < $1.1 }?.0
    }

    /// Letters to change, add, leave out or swap with their neighbour (optimal string alignment).
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a), Array(b))
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var rows = [Array(0...b.count)]
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var least = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    least = min(least, rows[i - 2][j - 2] + 1)
                }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
