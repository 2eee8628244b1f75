import Federation
import Primitives
import Records
import Storage
import Wire

/// The clusters and servers of a map of any size. Nothing is kept: keys and descriptors follow from the seed.
struct MapPopulation: Sendable {
    static let serversPerCluster = 10
    static let statementEntries = 90
    /// Clusters with which each peers, on both sides of it in a ring.
    private static let peersOnEachSide = 4
    /// The afternoon of a day.
    static let start = Timestamp(seconds: 20_833 * Timestamp.secondsPerEpoch + 54_000)

    let seed: UInt64
    let servers: Int
    var clusters: Int { (servers + MapPopulation.serversPerCluster - 1) / MapPopulation.serversPerCluster }

    func clusterKey(_ number: Int) -> SigningKey { key(1, number) }

    private func key(_ kind: UInt64, _ number: Int) -> SigningKey {
        var entropy = entropy(kind, number)
        return SigningKey(&entropy)
    }

    private func entropy(_ kind: UInt64, _ number: Int) -> Entropy {
        var hash = BLAKE2b(outputCount: 32, domain: Domain("hulda/sim-map"))
        hash.update(seed)
        hash.update(kind)
        hash.update(UInt64(number))
        return Entropy(seed: hash.finalize() as Bytes32)
    }

    func cluster(_ number: Int) throws(DescriptorError) -> ClusterDescriptor {
        var peers: Set<Int> = []
        for step in 1...MapPopulation.peersOnEachSide {
            peers.insert((number + step) % clusters)
            peers.insert((number + clusters * step - step) % clusters)
        }
        peers.remove(number)
        return try ClusterDescriptor(
            name: "cluster \(number)", sequence: MapPopulation.start.milliseconds,
            expiry: MapPopulation.start.seconds + 30 * Timestamp.secondsPerEpoch,
            endorsements: peers.map { clusterKey($0).publicKey }, contact: "operator@example.org",
            software: "hulda 0.1.0", policy: [], key: clusterKey(number))
    }

    func certificate(_ number: Int) -> ServerCertificate {
        ServerCertificate(
            server: key(2, number).publicKey, expiry: MapPopulation.start.seconds + 300 * Timestamp.secondsPerEpoch,
            cluster: clusterKey(number / MapPopulation.serversPerCluster))
    }

    /// The descriptor that a server signs `days` after the first: it keeps one mix key of the one before.
    func server(_ number: Int, days: UInt64, at now: Timestamp) throws(DescriptorError) -> ServerDescriptor {
        var entropy = entropy(3, number)
        let link = X25519PublicKey(entropy.bytes())
        let octets = (UInt8(10 + number >> 16), UInt8(truncatingIfNeeded: number >> 8))
        let address = SocketAddress(v4: (octets.0, octets.1, UInt8(truncatingIfNeeded: number), 1), port: 7411)
        let first = MapPopulation.start.epoch + days
        let keys = [first, first + 1].map { epoch in
            var entropy = self.entropy(4 + epoch, number)
            return MixKeyEntry(epoch: epoch, key: X25519PublicKey(entropy.bytes()))
        }
        return try ServerDescriptor(
            certificate: certificate(number), sequence: now.milliseconds,
            expiry: now.seconds + 2 * Timestamp.secondsPerEpoch, linkKey: link, tcp: address, udp: address,
            roles: [.relay, .home, .directory, .gateway], mixKeys: keys, software: "hulda 0.1.0", key: key(2, number))
    }

    /// What a cluster measured of as many relays as one of ten servers does in the mean. The text of specs/map.md,
    /// "Capacity", version 2.
    func statement(_ cluster: Int, epoch: UInt64) -> [UInt8] {
        var entropy = entropy(5 + epoch, cluster)
        var names: Set<UInt16> = []
        while names.count < MapPopulation.statementEntries {
            names.insert(UInt16(truncatingIfNeeded: entropy.below(1 << 13)))
        }
        let signer = key(2, cluster * MapPopulation.serversPerCluster)
        var writer = Writer(capacity: 512)
        writer.uint8(2)
        writer.uint32(UInt32(truncatingIfNeeded: epoch))
        writer.fixed(signer.publicKey.bytes)
        writer.uint8(UInt8(truncatingIfNeeded: names.count))
        for name in names.sorted() { writer.uint16(name << 3 | UInt16(entropy.below(7))) }
        let signature = signer.sign(BLAKE2b.h(Domain("hulda/capacity"), writer.bytes).bytes)
        return writer.bytes + signature.bytes.bytes
    }

    func root(_ number: Int, epoch: UInt64) throws(SnapshotError) -> SnapshotRoot {
        let key = key(2, number)
        return try SnapshotRoot(
            epoch: epoch, root: Bytes32(), count: UInt32(clamping: servers + clusters),
            certificate: certificate(number)
        ) { key.sign($0) }
    }
}

/// A store of a whole population that nothing is kept of: what it has is made while it is read, and what is written is
/// forgotten. So the memory of a map can be told from that of its disk.
struct PopulationStore: KeyValueStore {
    private static let capacity = Table("capacity")

    /// What a start finds; `nil` once it has been read.
    var population: MapPopulation?
    /// Measurements, which a map leaves on the disk; the same for all maps that share this store.
    var statements: [[UInt8]: [UInt8]] = [:]

    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]? {
        table == PopulationStore.capacity ? statements[key] : nil
    }
    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
        if table == PopulationStore.capacity { statements[key] = value }
    }
    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError) {}
    func count(_ table: Table) throws(StorageError) -> Int { 0 }

    func scan(
        _ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool
    ) throws(StorageError) {
        if table == PopulationStore.capacity {
            for (key, value) in statements { guard body(key, value) else { return } }
        }
        guard let population, table == Table("map") else { return }
        do throws(DescriptorError) {
            for number in 0..<population.clusters {
                let cluster = try population.cluster(number)
                let id = BLAKE2b.h(Domain("hulda/cluster-id"), cluster.clusterID.bytes).bytes.prefix(16)
                guard body(Array(id), cluster.encode()) else { return }
            }
            for number in 0..<population.servers {
                let server = try population.server(number, days: 0, at: MapPopulation.start)
                guard body(Array(server.nodeID.bytes.prefix(16)), server.encode()) else { return }
            }
        } catch { throw .corrupt("\(error)") }
    }
}
