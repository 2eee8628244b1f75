import Primitives
import Records
import Wire

/// What liars send beside what the cores say, and nobody may take.
extension WorldServer {
    /// A descriptor that nobody may take: its signature does not fit, or its time is over.
    func badDescriptor(_ now: Timestamp, _ entropy: inout Entropy) -> [UInt8]? {
        guard entropy.below(2) == 0 else {
            var forged = directory.descriptor
            guard !forged.isEmpty else { return nil }
            forged[forged.count - 1] ^= 1 << UInt8(entropy.below(5))
            return forged
        }
        let clock = clock(now)
        let address = endpoint.address
        return try? ServerDescriptor(
            certificate: certificate(clock), sequence: clock.seconds + 1, expiry: clock.seconds - 1,
            linkKey: endpoint.linkKey, tcp: address, udp: address, roles: [.relay],
            mixKeys: [MixKeyEntry(epoch: clock.epoch, key: mixKey(clock.epoch).key.publicKey)], software: "simulator",
            key: serverKey
        ).encode()
    }

    /// A record that somebody signed for a day that has not come.
    func futureRecord(_ now: Timestamp, _ entropy: inout Entropy) -> [UInt8]? {
        let clock = clock(now)
        let user = SigningKey(&entropy)
        let operational = SigningKey(&entropy)
        let body = RecordBody(
            home: nodeID, account: entropy.bytes(), sealing: X25519PrivateKey(&entropy).publicKey,
            operational: operational.publicKey, operationalExpiry: clock.seconds + 90 * 86_400, policy: 1,
            prekeys: Bytes32(), user: user)
        let epoch = clock.epoch + 2 + UInt64(entropy.below(2))
        return try? DirectoryRecord.seal(
            body: body, user: user, epoch: epoch, sequence: clock.seconds, entropy: &entropy
        ).encode()
    }
}
