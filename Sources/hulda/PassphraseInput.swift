import Glibc
import Primitives

/// A passphrase on its way from the environment into ``SecretBytes``: no string holds it, as none holds one that is typed
/// (``PassphrasePrompt``).
enum PassphraseInput {
    /// `HULDA_PASSPHRASE`, taken out of the environment when it is read first; `nil` when it is not set, or empty.
    static let environment: SharedSecret? = {
        guard let text = getenv("HULDA_PASSPHRASE"), text.pointee != 0 else { return nil }
        return SharedSecret(take(text))
    }()

    /// A copy of a C string, which is then zeroed.
    private static func take(_ text: UnsafeMutablePointer<CChar>) -> SecretBytes {
        let bytes = UnsafeMutableRawBufferPointer(start: text, count: strlen(text))
        let secret = SecretBytes(copying: UnsafeRawBufferPointer(bytes))
        SecretBytes.zero(bytes)
        return secret
    }
}
