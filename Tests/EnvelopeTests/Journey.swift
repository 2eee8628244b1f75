import Envelope
import Primitives

/// What became of an envelope that went through relays to the reader of its content.
struct Journey {
    var hops: [Unwrapped] = []
    /// Empty when it did not arrive.
    var payload: [UInt8] = []
    var content: [UInt8] = []
    /// The name of the ``EnvelopeError`` that ended it; empty when there was none.
    var error = ""

    /// - Parameters:
    ///   - envelope: becomes what the last relay left.
    ///   - keys: the relays' private keys in order.
    ///   - replyKeys: when the end is a mailbox.
    init(_ envelope: inout [UInt8], keys: [[UInt8]], replyKeys: ReplyKeys? = nil) throws {
        do {
            for key in keys {
                var copy = key
                hops.append(try unwrap(&envelope, try X25519PrivateKey(SecretBytes(taking: &copy))))
            }
            payload = Array(envelope[Geometry.headerSize...])
            content = try replyKeys?.open(payload) ?? Payload.content(of: payload)
        } catch let failure as EnvelopeError {
            error = String("\(failure)".prefix { $0 != "(" })
        }
    }
}
