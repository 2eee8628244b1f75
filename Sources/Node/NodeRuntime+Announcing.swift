import FoundationEssentials
import Primitives
import Records
import Relay
import Wire

/// What this server and its cluster say of themselves.
extension NodeRuntime {
    /// Seconds for which a descriptor is announced; it is renewed once a day.
    private static let descriptorLifetime: UInt64 = 2 * 86_400
    private static let clusterLifetime: UInt64 = 30 * 86_400
    /// Seconds after which the cluster's own is renewed.
    private static let clusterRenewal: UInt64 = 10 * 86_400

    static func descriptor(
        _ keys: NodeKeys, _ addresses: NodeAddresses, _ ring: MixKeyRing, sequence: UInt64, _ now: Timestamp
    ) throws -> ServerDescriptor {
        try ServerDescriptor(
            certificate: keys.certificate, sequence: sequence, expiry: now.seconds + descriptorLifetime,
            linkKey: keys.link.publicKey, tcp: addresses.advertise, udp: addresses.advertiseDatagram,
            roles: [.relay, .home, .directory, .gateway],
            mixKeys: ring.publicKeys.map { MixKeyEntry(epoch: $0.epoch, key: $0.key) }, software: software,
            key: keys.server)
    }

    /// Publishes the own descriptors: at the start, when peers change, and once a day. The cluster's changes seldom, and
    /// everybody has to learn it, so it is signed anew only when it must be.
    func announce(_ addresses: NodeAddresses, peersChanged: Bool = false) throws {
        let now = Timestamp.now()
        do {
            if let days = try keys.renew(now: now) {
                logger.warning("the server's certificate ends in \(days) days: put cluster.key back for a restart")
            }
        } catch {
            // The present one lasts a while yet; without the day's mix keys the server would be of no use today.
            ledger.count("core.keys.refused")
            logger.error("cannot renew the server's certificate: \(error)")
        }
        let last = state.withLockedValue { state in
            state.announced = now.epoch
            return state.clusterAnnounced
        }
        // One that was signed by a clock that was ahead is old as well.
        let isOld = last.map { now.milliseconds(since: $0) > NodeRuntime.clusterRenewal * 1000 || now < $0 } ?? true
        let signsCluster = (peersChanged || isOld) && keys.cluster != nil
        if signsCluster { state.withLockedValue { $0.clusterAnnounced = now } }
        let endorsements = endorsements()
        let (keys, configuration, ring, logger) = (self.keys, self.configuration, ledger.ring, self.logger)
        cores.enqueue { cores in
            cores.certify(keys)
            do {
                try cores.publishServer(keys.nodeID) {
                    try NodeRuntime.descriptor(keys, addresses, ring, sequence: $0, now)
                }
                guard signsCluster, let cluster = keys.cluster else { return }
                try cores.publishCluster(cluster.key.publicKey) {
                    try NodeRuntime.descriptor(cluster, configuration, endorsements, sequence: $0, now)
                }
            } catch { logger.error("cannot sign the own descriptors: \(error)") }
        }
    }

    /// The second of the day at which this server renews its descriptor: after the last epoch's key is destroyed, and at
    /// another moment for each server, so that the network has as much to learn at all times.
    var renewalSecond: UInt64 {
        let draw = keys.nodeID.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return MixKeyRing.grace + 60 + draw % (Timestamp.secondsPerEpoch - 3 * MixKeyRing.grace)
    }

    /// The clusters that this one peers with: added peers first, so that they are told to others before the clusters of
    /// the bootstrap list.
    private func endorsements() -> [VerifyingKey] {
        let own = keys.certificate.clusterID
        var endorsements: [VerifyingKey] = []
        let added = (try? NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)) ?? []
        for link in added + state.withLockedValue({ $0.bootstrap })
        where link.clusterID != own && !endorsements.contains(link.clusterID) {
            endorsements.append(link.clusterID)
        }
        return Array(endorsements.prefix(ClusterDescriptor.endorsementLimit))
    }

    /// The cluster's word for itself and its peers.
    private static func descriptor(
        _ cluster: NodeKeys.ClusterKey, _ configuration: NodeConfiguration, _ endorsements: [VerifyingKey],
        sequence: UInt64, _ now: Timestamp
    ) throws -> ClusterDescriptor {
        var policy: ClusterPolicy = [.openGateway]
        if configuration.registrationToken == nil { policy.insert(.openRegistration) }
        return try ClusterDescriptor(
            name: configuration.clusterName, sequence: sequence, expiry: now.seconds + clusterLifetime,
            endorsements: endorsements, contact: configuration.contact, software: software, policy: policy,
            key: cluster.key)
    }
}
