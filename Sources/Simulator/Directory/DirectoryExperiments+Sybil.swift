import Directory
import Federation
import Primitives
import Records
import Storage
import Wire

/// Addresses are cheap, endorsements are not.
extension DirectoryExperiments {
    private static let sybilUsers = 200
    private static let sybilLookups = 1000
    private static let sybilSearches = 300

    /// Servers whose clusters nobody of the network endorses: their descriptors come to a node's map, they join, answer,
    /// and offer themselves to everybody. One operator of the network was talked into peering with one of them.
    static func sybil(
        _ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void
    ) throws(DirectoryExperimentError) -> [ResultRow] {
        let world = try DirectoryWorld(nodes: nodes, seed: seed)
        world.roundTrip = 100
        for _ in 0..<trials { _ = try world.addStranger() }
        let strangers = nodes..<world.nodes.count
        progress(0.1)
        let admitted = try world.admit(own: nodes) { progress(0.1 + 0.3 * $0) }
        world.list(admitted.map { world.nodes[$0] })
        let known = Set(admitted)
        var admittedSybils = Proportion()
        for index in strangers { admittedSybils.count(known.contains(index)) }
        world.drawTables(of: 0..<nodes)
        for index in strangers {
            let doors = (0..<3).map { _ in world.nodes[world.entropy.below(nodes)].endpoint }
            try world.deliver(.join(doors), to: index)
            try world.run(milliseconds: 10)
            if index % 64 == 0 { progress(0.4 + 0.3 * Double(index - nodes) / Double(max(1, trials))) }
        }
        try world.run(milliseconds: 60_000)
        try publish(world, sybilUsers)
        progress(0.8)
        var found = Proportion()
        for _ in 0..<sybilLookups {
            let user = world.users[world.entropy.below(world.users.count)]
            found.count(try world.lookup(user, over: .mixed).end == .found)
        }
        var searched = Proportion()
        for _ in 0..<(sybilSearches / 100) {
            let users = (0..<100).map { _ in world.users[world.entropy.below(world.users.count)] }
            for search in try searches(world, users) { searched.count(search.milliseconds != nil) }
        }
        progress(1)
        var holding = Proportion()
        var served: UInt64 = 0
        var asHolder = Proportion()
        for index in strangers {
            holding.count(((try? DirectoryCore.recordCount(world.nodes[index].store)) ?? 0) > 0)
            served += world.nodes[index].core.counters.hits
        }
        for user in world.users {
            for holder in world.placement.holders(of: user.blindedKey) {
                asHolder.count(world.indices[holder].map { strangers.contains($0) } ?? true)
            }
        }
        let copies = (0..<nodes).reduce(0) { $0 + ((try? DirectoryCore.recordCount(world.nodes[$1].store)) ?? 0) }
        return [
            ResultRow(
                "the network\u{2019}s own servers that the map admits", .number(Double(admitted.count), unit: "")),
            ResultRow("strangers that the map admits", .share(admittedSybils)),
            ResultRow("strangers among holders", .share(asHolder)),
            ResultRow("strangers that store any record", .share(holding)),
            ResultRow("records served by strangers", .number(Double(served), unit: "")),
            ResultRow("copies at the network's own servers", .number(Double(copies), unit: "")),
            ResultRow("lookups that found the record", .share(found)),
            ResultRow("searches without a map that found it", .share(searched)),
        ] + world.times
    }
}

extension DirectoryWorld {
    /// Lets a node's map, the real core, decide who belongs to the network. It is told every cluster's and server's
    /// descriptor by one peer. The first `own` peer on a ring with chords and endorse each other; everybody else does the
    /// same among themselves, endorses some of the network besides, and is endorsed by one of them.
    /// - Returns: the servers that it admits.
    func admit(own: Int, _ progress: (Double) -> Void) throws(DirectoryExperimentError) -> [Int] {
        var store = MemoryStore()
        let roots = Set([0, own / 3, 2 * own / 3].map { nodes[$0].cluster })
        var map: MapCore
        do throws(StorageError) {
            map = try MapCore(admission: Admission(roots: roots), now: now, store: store)
        } catch { throw .storage(error) }
        try tell(&map, .linkUp(link: 1, peer: nodes[0].nodeID), &store)
        for index in nodes.indices {
            for descriptor in [try clusterDescriptor(index, own: own), nodes[index].descriptor] {
                try tell(&map, .message(link: 1, [DirectoryWorld.descriptorKind] + descriptor), &store)
            }
            if index % 256 == 255 {
                // A link's share of an interval is not to be used up, and a large map decides once an interval.
                now = now.adding(seconds: 10)
                try tell(&map, .wake, &store)
                progress(Double(index) / Double(nodes.count))
            }
        }
        now = now.adding(seconds: 10)
        try tell(&map, .wake, &store)
        return map.currentServers(at: now).compactMap { indices[$0.nodeID] }.sorted()
    }

    /// The kind of a map message that is a descriptor (specs/map.md, "Gossip").
    private static let descriptorKind: UInt8 = 3

    private func tell(
        _ map: inout MapCore, _ event: MapEvent, _ store: inout MemoryStore
    ) throws(DirectoryExperimentError) {
        do throws(StorageError) { _ = try map.handle(event, now: now, entropy: &entropy, store: &store) } catch {
            throw .storage(error)
        }
    }

    private func clusterDescriptor(_ index: Int, own: Int) throws(DirectoryExperimentError) -> [UInt8] {
        let isOwn = index < own
        let size = isOwn ? own : nodes.count - own
        let first = isOwn ? 0 : own
        var peers = [1, 2, size / 2, size - 1, size - 2].map { first + (index - first + $0) % size }
        if !isOwn { peers += [0, index % own, (7 * index) % own] }
        if index == 0, nodes.count > own { peers.append(own) }
        let endorsed = Set(peers.filter { $0 != index }).map { nodes[$0].cluster }
        do throws(DescriptorError) {
            return try ClusterDescriptor(
                name: "c\(index)", sequence: 1, expiry: now.seconds + 2 * 86_400, endorsements: endorsed, contact: "",
                software: "simulated", policy: [], key: nodes[index].clusterKey()
            ).encode()
        } catch { throw .descriptor(error) }
    }
}
