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
                    Spelling.nearest(to: word, among: commands.map { $0._commandName })
                    .map { " Did you mean \u{201C}\($0)\u{201D}?" } ?? ""
                throw ValidationError("There is no command \u{201C}\(word.shown)\u{201D}.\(hint)")
            }
            command = next
        }
    }
}
