import Federation
import Home
import Logging
import Primitives
import Records

/// What a running server takes of a configuration that has changed.
extension NodeRuntime {
    /// What came of reading the configuration again: names of options.
    public struct Reload: Equatable, Sendable {
        public var taken: [String]
        /// Those that take effect at the next start only.
        public var left: [String]
    }

    /// Takes a new configuration as far as a running server can, and reads the lists of peers and the cluster's key
    /// again. What it throws changed nothing.
    public func reload(_ new: NodeConfiguration) throws -> Reload {
        let old = configuration
        try new.validate()
        _ = try NodeAddresses(new)
        let merged = old.taking(live: new)
        try readPeers(merged)
        let differences = old.differences(from: new)
        return Reload(
            taken: differences.filter(\.isLive).map(\.name), left: differences.filter { !$0.isLive }.map(\.name))
    }

    /// Reads the peers again, and whether the cluster's key is here; called also after `hulda node peer` has changed
    /// them.
    func readPeers(_ configuration: NodeConfiguration) throws {
        let named = try NodeFiles.named(configuration)
        try NodeFiles.keepList(configuration)
        let peers = NodeFiles.peers(named)
        let old = self.configuration
        settings.withLockedValue { $0 = configuration }
        let before = state.withLockedValue { state in
            defer { state.bootstrap = peers }
            return state.bootstrap
        }
        let hasNewKey = lookForClusterKey()
        let own = keys.certificate.clusterID
        let roots = Set(peers.map(\.clusterID) + [own])
        let known = Set(before.map(\.clusterID))
        let key = keys.link.publicKey
        let home = NodeRuntime.home(configuration)
        cores.enqueue { cores in
            cores.home.configuration = home
            cores.tellOfPeers(known.union([own]), roots)
            cores.handle(.map(.roots(roots)))
            cores.begin(with: named, own: key)
        }
        // Others take only so many versions of a descriptor in an hour.
        let saysOther =
            hasNewKey || known.union([own]) != roots || old.clusterName != configuration.clusterName
            || old.contact != configuration.contact
            || (old.registrationToken == nil) != (configuration.registrationToken == nil)
        if saysOther { try announce(try NodeAddresses(configuration), peersChanged: true) }
        openGossipLinks()
    }

    /// - Returns: whether it is here, and was not.
    private func lookForClusterKey() -> Bool {
        do {
            let change = try keys.lookForClusterKey()
            switch change {
            case true?: logger.notice("cluster.key is here again: it signs peerings and the certificate")
            case false?: logger.notice("cluster.key was taken away: no peering is signed, and no certificate renewed")
            case nil: break
            }
            return change ?? false
        } catch {
            logger.error("cluster.key cannot be used", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// What accounts may have by a configuration.
    static func home(_ configuration: NodeConfiguration) -> HomeConfiguration {
        var home = HomeConfiguration()
        home.registrationToken = configuration.registrationToken
        home.namesPerAccount = configuration.namesPerAccount
        return home
    }

    /// The peers of the bootstrap list and those that were added, these first.
    var peerLinks: [(link: PeerLink, isAdded: Bool)] {
        let added = (try? NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)) ?? []
        let all = state.withLockedValue { $0.bootstrap }
        return added.map { ($0, true) } + all.filter { !added.contains($0) }.map { ($0, false) }
    }

    /// Returns when the loops that do the work have had a turn: a server that hangs does not.
    public func turn() async {
        await withCheckedContinuation { continuation in
            let cores = self.cores
            relay.enqueue { _ in cores.enqueue { _ in continuation.resume() } }
        }
    }

    /// Says that the bootstrap list is missing.
    func reportList() {
        guard let path = NodeFiles.bootstrapPath(configuration), !NodeFiles.exists(path) else { return }
        logger.notice(
            "the bootstrap list is missing: used is what it said when it was read last", metadata: ["file": "\(path)"])
    }
}
