/// The bounds of the whole protocol, in one place. Specs: specs/wire.md.
public enum Limits {
    /// One envelope: header and payload, in bytes (specs/envelope.md).
    public static let envelopeSize = 2608
    /// One UDP datagram of ours, in bytes: fits IPv6's minimum MTU of 1280 less IP and UDP headers.
    public static let datagramSize = 1232
    /// A signed descriptor of a cluster or server, in bytes: fits one stream frame.
    public static let descriptorSize = 2048
    /// A directory record, in bytes.
    public static let recordSize = 1024
}
