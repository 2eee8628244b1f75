import Glibc
import Primitives

/// Passphrases on their way from the terminal or the environment into ``SecretBytes``: no string holds one.
enum PassphraseInput {
    /// `HULDA_PASSPHRASE`, taken out of the environment when it is read first; `nil` when it is not set, or empty.
    static let environment: SharedSecret? = {
        guard let text = getenv("HULDA_PASSPHRASE"), text.pointee != 0 else { return nil }
        return SharedSecret(take(text))
    }()

    /// Typed without an echo; empty when there is no terminal.
    static func ask(_ prompt: String) -> SecretBytes {
        guard let answer = getpass(prompt) else { return SecretBytes(count: 0) }
        return take(answer)
    }

    /// A copy of a C string, which is then zeroed.
    private static func take(_ text: UnsafeMutablePointer<CChar>) -> SecretBytes {
        let bytes = UnsafeMutableRawBufferPointer(start: text, count: strlen(text))
        let secret = SecretBytes(copying: UnsafeRawBufferPointer(bytes))
        SecretBytes.zero(bytes)
        return secret
    }
}
