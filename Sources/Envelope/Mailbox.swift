import Primitives

/// The name under which a gateway keeps an agent's replies (specs/wire.md, "Mailbox").
public enum Mailbox {
    /// The first 16 bytes of `H("hulda/mailbox", secret)`: only who knows the secret can claim it.
    public static func handle(of secret: Bytes32) -> Bytes16 {
        Bytes16(BLAKE2b.h(Domain("hulda/mailbox"), secret).bytes.prefix(16)) ?? Bytes16()
    }
}
