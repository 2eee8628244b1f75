import Primitives

/// A header under construction: what the sender computes for each hop (specs/envelope.md, "Wrap").
struct Header: ~Copyable {
    /// Ephemeral ‖ MAC ‖ β, ``Geometry/headerSize`` bytes.
    let bytes: [UInt8]
    /// The payload seed of each hop, 32 bytes each, first hop first.
    let seeds: SecretBytes
    let hopCount: Int

    /// - Parameters:
    ///   - path: one to five hops.
    ///   - last: the routing block of the last hop; the others get relay blocks.
    ///   - draw: made for a path of this length.
    init(path: [Hop], last: RoutingBlock, _ draw: borrowing HeaderDraw) throws(EnvelopeError) {
        guard draw.fits(hops: path.count) else { throw .pathLength(path.count) }

        // Per hop: shared secret 32, MAC key 32, stream key 32.
        var keys = SecretBytes(count: path.count * 96)
        var ephemerals: [Bytes32] = []
        for (index, hop) in path.enumerated() {
            ephemerals.append(try Header.derive(hop, draw, index, into: &keys))
        }

        var filler = Header.filler(path.count, keys)
        var beta = [UInt8](repeating: 0, count: Geometry.betaSize)
        var macs = [Bytes16](repeating: Bytes16(), count: path.count)
        var header = [UInt8](repeating: 0, count: Geometry.headerSize)
        for index in stride(from: path.count - 1, through: 0, by: -1) {
            let isLast = index == path.count - 1
            let block =
                isLast
                ? last
                : RoutingBlock(
                    command: .relay, delayMilliseconds: path[index].delayMilliseconds, target: path[index + 1].node)
            var plain = [UInt8](repeating: 0, count: Geometry.betaSize)
            plain.withUnsafeMutableBytes { plain in
                block.encode(into: UnsafeMutableRawBufferPointer(rebasing: plain[0..<Geometry.routingSize]))
                if isLast {
                    draw.padding.withUnsafeBytes { HopKeys.copy($0, into: plain, at: Geometry.routingSize) }
                } else {
                    ephemerals[index + 1].withUnsafeBytes {
                        HopKeys.copy($0, into: plain, at: Geometry.routingSize)
                    }
                    macs[index + 1].withUnsafeBytes { HopKeys.copy($0, into: plain, at: Geometry.routingSize + 32) }
                    beta.withUnsafeBytes {
                        HopKeys.copy(
                            UnsafeRawBufferPointer(rebasing: $0[0..<Geometry.betaSize - Geometry.shift]), into: plain,
                            at: Geometry.shift)
                    }
                }
                keys.withUnsafeBytes { keys in
                    let stream = UnsafeRawBufferPointer(rebasing: keys[index * 96 + 64..<index * 96 + 96])
                    ChaCha20.xor(plain, oneTimeKey: stream)
                    if isLast {
                        filler.withUnsafeBytes { HopKeys.copy($0, into: plain, at: plain.count - $0.count) }
                    }
                    macs[index] = HopKeys.mac(
                        UnsafeRawBufferPointer(plain),
                        key: UnsafeRawBufferPointer(rebasing: keys[index * 96 + 32..<index * 96 + 64]))
                }
            }
            beta = plain
        }
        filler.withUnsafeMutableBytes { SecretBytes.zero($0) }

        header.withUnsafeMutableBytes { header in
            ephemerals[0].withUnsafeBytes { HopKeys.copy($0, into: header, at: 0) }
            macs[0].withUnsafeBytes { HopKeys.copy($0, into: header, at: Geometry.ephemeralSize) }
            beta.withUnsafeBytes { HopKeys.copy($0, into: header, at: Geometry.betaRange.lowerBound) }
        }

        var seeds = SecretBytes(count: path.count * Geometry.seedSize)
        seeds.withUnsafeMutableBytes { seeds in
            keys.withUnsafeBytes { keys in
                for (index, hop) in path.enumerated() {
                    ephemerals[index].withUnsafeBytes { ephemeral in
                        hop.key.bytes.withUnsafeBytes { relay in
                            HopKeys.payloadSeed(
                                into: UnsafeMutableRawBufferPointer(rebasing: seeds[index * 32..<index * 32 + 32]),
                                secret: UnsafeRawBufferPointer(rebasing: keys[index * 96..<index * 96 + 32]),
                                ephemeral: ephemeral, relay: relay, mac: macs[index])
                        }
                    }
                }
            }
        }
        bytes = header
        self.seeds = seeds
        hopCount = path.count
    }

    /// Writes the keys that the sender shares with one hop; returns that hop's ephemeral public key.
    private static func derive(
        _ hop: Hop, _ draw: borrowing HeaderDraw, _ index: Int, into keys: inout SecretBytes
    ) throws(EnvelopeError) -> Bytes32 {
        do throws(PrimitiveError) {
            return try draw.ephemerals.withUnsafeBytes { (scalars) throws(PrimitiveError) in
                let scalar = UnsafeRawBufferPointer(rebasing: scalars[index * 32..<index * 32 + 32])
                let ephemeral = Bytes32(unsafe: { X25519.multiplyBase(into: $0, scalar: scalar) })
                try keys.withUnsafeMutableBytes { (keys) throws(PrimitiveError) in
                    let secret = UnsafeMutableRawBufferPointer(rebasing: keys[index * 96..<index * 96 + 32])
                    let head = UnsafeMutableRawBufferPointer(rebasing: keys[index * 96 + 32..<index * 96 + 96])
                    try hop.key.bytes.withUnsafeBytes { (relay) throws(PrimitiveError) in
                        try X25519.multiply(into: secret, scalar: scalar, point: relay)
                        ephemeral.withUnsafeBytes {
                            HopKeys.head(
                                into: head, secret: UnsafeRawBufferPointer(secret), ephemeral: $0, relay: relay)
                        }
                    }
                }
                return ephemeral
            }
        } catch {
            throw .invalidRelayKey
        }
    }

    /// What the hops before the last will have padded, so that the last hop's MAC covers it.
    private static func filler(_ count: Int, _ keys: borrowing SecretBytes) -> [UInt8] {
        var filler: [UInt8] = []
        var stream = [UInt8](repeating: 0, count: Geometry.betaSize + Geometry.shift)
        for index in 0..<count - 1 {
            filler.append(contentsOf: repeatElement(0, count: Geometry.shift))
            stream.withUnsafeMutableBytes { stream in
                keys.withUnsafeBytes {
                    let key = UnsafeRawBufferPointer(rebasing: $0[index * 96 + 64..<index * 96 + 96])
                    ChaCha20.stream(into: stream, oneTimeKey: key)
                }
            }
            let start = stream.count - filler.count
            for offset in filler.indices { filler[offset] ^= stream[start + offset] }
        }
        stream.withUnsafeMutableBytes { SecretBytes.zero($0) }
        return filler
    }
}
