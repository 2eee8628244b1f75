import Envelope
import Glibc
import Link
import Primitives

/// What libsodium alone takes for one envelope that a relay forwards: the same primitives over as many bytes,
/// on buffers of their own.
public final class RelayFloor {
    private static let frame = StreamSession.frameSize - ChaChaPoly.tagSize
    private let bare = Bare(size: RelayFloor.frame)

    public init() {}

    /// CPU time of the calling thread per envelope, in microseconds.
    public func measure(runs: Int = 2000) -> Double {
        let start = RelayFloor.now()
        for _ in 0..<runs { envelope() }
        return (RelayFloor.now() - start) / Double(max(1, runs)) * 1e6
    }

    private func envelope() {
        consume(bare.open(RelayFloor.frame))
        // specs/envelope.md, "Unwrap": shared secret, header keys, MAC, header, replay tag, payload seed, its subkeys.
        bare.multiply()
        bare.hash(25 + 64)
        bare.hash(Geometry.betaSize)
        bare.stream(Geometry.betaSize + Geometry.shift)
        bare.hash(32)
        bare.hash(80)
        for _ in 0..<2 { bare.hash(1) }
        for _ in 0..<2 {
            bare.hash(Geometry.payloadSize - Lioness.leftSize)
            bare.stream(Geometry.payloadSize - Lioness.leftSize)
        }
        bare.seal(RelayFloor.frame)
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
