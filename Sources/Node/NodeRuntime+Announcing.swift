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
        _ keys: NodeKeys, _ addresses: NodeAddresses, _ ring: MixKeyRing, _ now: Timestamp
    ) throws -> ServerDescriptor {
        try ServerDescriptor(
            certificate: keys.certificate, sequence: now.milliseconds, expiry: now.seconds + descriptorLifetime,
            linkKey: keys.link.publicKey, tcp: addresses.advertise, udp: addresses.advertiseDatagram,
            roles: [.relay, .home, .directory, .gateway],
            mixKeys: ring.publicKeys.map { MixKeyEntry(epoch: $0.epoch, key: $0.key) }, software: software,
            key: keys.server)
    }

    /// Publishes the own descriptors: at the start, when peers change, and once a day. The cluster's changes seldom, and
    /// everybody has to learn it, so it is signed anew only when it must be.
    func announce(_ addresses: NodeAddresses, peersChanged: Bool = false) throws {
        let now = Timestamp.now()
        if let days = try keys.renew(now: now) {
            logger.warning("the server's certificate ends in \(days) days: put cluster.key back for a restart")
        }
        let server = try NodeRuntime.descriptor(keys, addresses, ledger.ring, now).encode()
        let keys = self.keys
        cores.enqueue { cores in
            cores.certify(keys)
            cores.publish(server, isServer: true)
        }
        let last = state.withLockedValue { state in
            state.announced = now.epoch
            return state.clusterAnnounced
        }
        let isOld = last.map { now.milliseconds(since: $0) > NodeRuntime.clusterRenewal * 1000 } ?? true
        guard peersChanged || isOld, let cluster = try clusterDescriptor(now) else { return }
        cores.enqueue { $0.publish(cluster, isServer: false) }
        state.withLockedValue { $0.clusterAnnounced = now }
    }

    /// The second of the day at which this server renews its descriptor: after the last epoch's key is destroyed, and at
    /// another moment for each server, so that the network has as much to learn at all times.
    var renewalSecond: UInt64 {
        let draw = keys.nodeID.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return MixKeyRing.grace + 60 + draw % (Timestamp.secondsPerEpoch - 3 * MixKeyRing.grace)
    }

    /// The cluster's word for itself and its peers; `nil` while its key is kept elsewhere.
    func clusterDescriptor(_ now: Timestamp) throws -> [UInt8]? {
        guard let cluster = keys.cluster else { return nil }
        let own = cluster.key.publicKey
        // Added peers come first: they are told to others before the clusters of the bootstrap list.
        var endorsements: [VerifyingKey] = []
        let added = (try? NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)) ?? []
        for link in added + state.withLockedValue({ $0.bootstrap })
        where link.clusterID != own && !endorsements.contains(link.clusterID) {
            endorsements.append(link.clusterID)
        }
        var policy: ClusterPolicy = [.openGateway]
        if configuration.registrationToken == nil { policy.insert(.openRegistration) }
        return try ClusterDescriptor(
            name: configuration.clusterName, sequence: now.milliseconds,
            expiry: now.seconds + NodeRuntime.clusterLifetime,
            endorsements: Array(endorsements.prefix(ClusterDescriptor.endorsementLimit)),
            contact: configuration.contact, software: NodeRuntime.software, policy: policy, key: cluster.key
        ).encode()
    }

    /// Reads the peers again; called after `hulda node peer` has changed them.
    func reloadPeers() throws {
        let peers = try NodeFiles.peers(configuration)
        state.withLockedValue { $0.bootstrap = peers }
        let roots = Set(peers.map(\.clusterID) + [keys.certificate.clusterID])
        cores.enqueue { $0.handle(.map(.roots(roots))) }
        try announce(try NodeAddresses(configuration), peersChanged: true)
        openGossipLinks()
    }
}
