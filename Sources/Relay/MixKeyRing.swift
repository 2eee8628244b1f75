import Envelope
import Primitives
import Wire

/// A relay's private key of one epoch.
public final class MixKey: Sendable {
    public let epoch: UInt64
    public let key: X25519PrivateKey

    public init(epoch: UInt64, key: consuming X25519PrivateKey) {
        self.epoch = epoch
        self.key = key
    }
}

/// The keys with which a relay opens envelopes now; an immutable snapshot that any thread may use.
public final class MixKeyRing: Sendable {
    /// How long after its end an epoch's key still opens, in seconds: what was under way, and reply blocks.
    public static let grace: UInt64 = 3600
    /// How long before its start an epoch's key already opens, in seconds: clocks differ.
    public static let lead: UInt64 = 600

    private let keys: [MixKey]

    public init(_ keys: [MixKey]) { self.keys = keys.sorted { $0.epoch < $1.epoch } }

    /// The epochs for which there is a key, ascending.
    public var epochs: [UInt64] { keys.map(\.epoch) }

    /// The public key of each epoch, ascending.
    public var publicKeys: [(epoch: UInt64, key: X25519PublicKey)] { keys.map { ($0.epoch, $0.key.publicKey) } }

    /// What a ring is worth at a moment.
    public enum Standing: Sendable {
        case current
        /// A key is to be made, or to be destroyed.
        case outdated
        /// The key of the day is missing, or there are keys of days that do not follow: the clock was wrong.
        case useless
    }

    /// The ring has the last epoch's key during the grace after midnight, and never that of a later one than the next.
    /// - Parameter isOnTrial: whether the clock leapt a while ago. A ring that will do is kept then: by a clock that goes
    ///   back again its keys were destroyed too early.
    public func standing(at now: Timestamp, isOnTrial: Bool) -> Standing {
        guard let first = epochs.first, let last = epochs.last, epochs.contains(now.epoch), last <= now.epoch + 1 else {
            return .useless
        }
        let isGraceOver = now.seconds % Timestamp.secondsPerEpoch >= MixKeyRing.grace && first < now.epoch
        return !isOnTrial && (last == now.epoch || isGraceOver) ? .outdated : .current
    }

    /// Opens one layer in place, with the key of this epoch or, near its borders, of its neighbours.
    ///
    /// Allocates nothing.
    /// - Parameter envelope: ``Geometry/envelopeSize`` bytes.
    public func unwrap(
        _ envelope: UnsafeMutableRawBufferPointer, now: Timestamp
    ) throws(EnvelopeError) -> (unwrapped: Unwrapped, epoch: UInt64) {
        let epoch = now.epoch
        let second = now.seconds % Timestamp.secondsPerEpoch
        var failure = EnvelopeError.wrongMAC
        if let result = attempt(epoch, envelope, &failure) { return result }
        if failure == .wrongMAC, second < MixKeyRing.grace, epoch > 0,
            let result = attempt(epoch - 1, envelope, &failure)
        {
            return result
        }
        if failure == .wrongMAC, second >= Timestamp.secondsPerEpoch - MixKeyRing.lead,
            let result = attempt(epoch + 1, envelope, &failure)
        {
            return result
        }
        throw failure
    }

    @inline(__always)
    private func attempt(
        _ epoch: UInt64, _ envelope: UnsafeMutableRawBufferPointer, _ failure: inout EnvelopeError
    ) -> (unwrapped: Unwrapped, epoch: UInt64)? {
        for mixKey in keys where mixKey.epoch == epoch {
            do throws(EnvelopeError) {
                return (try Unwrap.process(envelope, key: mixKey.key), epoch)
            } catch {
                failure = error
            }
        }
        return nil
    }
}
