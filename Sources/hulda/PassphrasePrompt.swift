import ArgumentParser
import Glibc
import Primitives

/// A question at the terminal whose answer is not shown.
///
/// Not `getpass`, which switches the keys off that end or stop a command. Here the keys are read as characters, so that
/// the terminal is put back first, whatever happens then.
struct PassphrasePrompt {
    /// Bytes of an answer; further ones are left out.
    private static let limit = 1024

    /// - Throws: exit code 130 at Ctrl-C, a ``Failure`` at Ctrl-D.
    static func ask(_ question: String) throws -> SecretBytes {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        defer { if terminal >= 0 { close(terminal) } }
        return try PassphrasePrompt(
            input: terminal >= 0 ? terminal : STDIN_FILENO, output: terminal >= 0 ? terminal : STDERR_FILENO
        ).answer(to: question)
    }

    private let input: Int32
    private let output: Int32

    private enum Key { case interrupt, suspend, end, enter, erase, clear, none }

    private func answer(to question: String) throws -> SecretBytes {
        var saved = termios()
        let isTerminal = tcgetattr(input, &saved) == 0
        func restore() { if isTerminal { tcsetattr(input, TCSADRAIN, &saved) } }
        func begin() {
            var quiet = saved
            quiet.c_lflag &= ~tcflag_t(ECHO | ECHONL | ICANON | ISIG | IEXTEN)
            withUnsafeMutableBytes(of: &quiet.c_cc) { keys in
                keys[Int(VMIN)] = 1
                keys[Int(VTIME)] = 0
            }
            // What was typed before the question is no answer to it.
            if isTerminal { tcsetattr(input, TCSAFLUSH, &quiet) }
            StandardStream.write(question, to: output)
        }
        // Of one place and size from the start: no copy of the answer is left behind by a growing array.
        var bytes = SecretBytes(count: PassphrasePrompt.limit)
        var count = 0
        begin()
        defer {
            restore()
            StandardStream.write("\n", to: output)
        }
        while let byte = next() {
            switch key(byte, saved) {
            case .interrupt: throw ExitCode(130)
            case .suspend:
                restore()
                count = 0
                // To all of a pipeline, as the terminal does; another thread may be the one that stops first.
                kill(0, SIGTSTP)
                usleep(50_000)
                begin()
            case .end where count == 0:
                throw Failure(
                    "no passphrase was given", next: "Run the command again; nothing was changed.", code: SysExit.usage)
            case .end, .enter:
                return bytes.withUnsafeBytes {
                    SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0.prefix(count)))
                }
            case .erase: count = bytes.withUnsafeBytes { PassphrasePrompt.beforeLast($0.prefix(count)) }
            case .clear: count = 0
            case .none where count < PassphrasePrompt.limit:
                bytes.withUnsafeMutableBytes { $0[count] = byte }
                count += 1
            case .none: break
            }
        }
        throw Failure("the terminal is gone", next: "Run the command again.", code: SysExit.usage)
    }

    /// Bytes in front of the last character.
    private static func beforeLast(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int {
        bytes.lastIndex { $0 & 0xc0 != 0x80 } ?? 0
    }

    private func next() -> UInt8? {
        var byte: UInt8 = 0
        while true {
            let count = read(input, &byte, 1)
            if count == 1 { return byte }
            guard count < 0, errno == EINTR else { return nil }
        }
    }

    /// What the terminal's settings make of a byte.
    private func key(_ byte: UInt8, _ settings: termios) -> Key {
        if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return .enter }
        let meanings: [(Int32, Key)] = [
            (VINTR, .interrupt), (VQUIT, .interrupt), (VSUSP, .suspend), (VEOF, .end), (VERASE, .erase),
            (VKILL, .clear),
            (VWERASE, .clear),
        ]
        // A key of 0 is switched off.
        let found = withUnsafeBytes(of: settings.c_cc) { keys in
            meanings.first { byte != 0 && keys[Int($0.0)] == byte }?.1
        }
        return found ?? (byte == 8 || byte == 127 ? .erase : .none)
    }
}
