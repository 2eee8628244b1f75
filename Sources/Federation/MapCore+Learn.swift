import Primitives
import Records
import Storage
import Wire

/// Taking descriptors in, and letting them go.
extension MapCore {
    /// Judges a descriptor from a link: the cheap checks first, signatures last.
    mutating func learn(
        _ bytes: [UInt8], from link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let descriptor = judge(bytes, from: link, now) else { return try keepEvidence(&effects, &store) }
        try take(descriptor, from: link, now, &effects, &store)
    }

    /// Takes a valid descriptor that is newer than any known of its key: into the map, or aside.
    mutating func take(
        _ descriptor: MapDescriptor, from link: UInt64?, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let change = admit(descriptor)
        if !admission.admits(descriptor.clusterID) {
            putAside(descriptor)
        } else if hasRoom(for: descriptor) {
            try hold(descriptor, from: link, &effects, &store)
        } else {
            counters.full += 1
            pending.remove(descriptor.id)
            unlist(descriptor.id)
        }
        try follow(change, now, &effects, &store)
    }

    /// What a descriptor's endorsements change. A large map waits for the next wake, which decides once for all that
    /// came in between: nobody may make it think over the whole map by a message.
    private mutating func admit(_ descriptor: MapDescriptor) -> (grew: Bool, shrank: Bool) {
        guard case .cluster(let cluster) = descriptor else { return (false, false) }
        admission.note(cluster)
        return clusters.count <= MapCore.smallEnough ? admission.refresh() : (false, false)
    }

    /// Moves descriptors in and out of the map after a decision on who is admitted.
    mutating func follow(
        _ change: (grew: Bool, shrank: Bool), _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if change.shrank { try dropUnadmitted(&effects, &store) }
        if change.grew { try promote(now, &effects, &store) }
    }

    /// The descriptor if it is new and valid; otherwise counts why not.
    private mutating func judge(_ bytes: [UInt8], from link: UInt64, _ now: Timestamp) -> MapDescriptor? {
        do throws(DescriptorError) {
            let descriptor = try MapDescriptor(decoding: bytes)
            let id = descriptor.id
            if let known = newest(id), known.sequence >= descriptor.sequence {
                if known == descriptor {
                    counters.duplicates += 1
                } else if known.sequence > descriptor.sequence {
                    counters.replayed += 1
                } else {
                    try descriptor.verify(at: now)
                    counters.conflicting += 1
                    snapshots.found = try? EquivocationEvidence(known, descriptor)
                }
                return nil
            }
            try descriptor.verify(at: now)
            return descriptor
        } catch {
            switch error {
            case .malformed, .foreignKey: counters.malformed += 1
            case .oversize: counters.oversize += 1
            case .expired, .lastsTooLong: counters.expired += 1
            case .wrongSignature, .wrongCertificate:
                counters.forged += 1
                peers[link]?.receivesLeft -= configuration.forgeryCost
            }
            return nil
        }
    }

    /// The version with the higher sequence, of the one held and the one that waits for admission.
    private func newest(_ id: Bytes16) -> MapDescriptor? {
        guard let waiting = pending[id] else { return held[id] }
        guard let current = held[id], current.sequence >= waiting.sequence else { return waiting }
        return current
    }

    func hasRoom(for descriptor: MapDescriptor) -> Bool {
        if held[descriptor.id] != nil { return true }
        guard held.count < configuration.capacity else { return false }
        guard case .server(let server) = descriptor else { return true }
        return serverCount[server.clusterID, default: 0] < configuration.serversPerCluster
    }

    /// Keeps a descriptor until its cluster is admitted. Strangers' give way to each other only, not to those of
    /// clusters that peer with an admitted one.
    private mutating func putAside(_ descriptor: MapDescriptor) {
        counters.pending += 1
        index.insert(MapDigest(id: descriptor.id, sequence: descriptor.sequence))
        let isVouchedFor = admission.isVouchedFor(descriptor.clusterID)
        guard let victim = pending.insert(descriptor, isVouchedFor: isVouchedFor, limit: configuration.pendingLimit)
        else { return }
        counters.evicted += 1
        unlist(victim.id)
        forget(victim)
    }

    /// Takes a descriptor that is pending no longer out of the index, where an older one that is held comes back.
    private mutating func unlist(_ id: Bytes16) {
        if let older = held[id] {
            index.insert(MapDigest(id: id, sequence: older.sequence))
        } else {
            index.remove(id)
        }
    }

    /// Takes back what a descriptor that is known no longer has said about others.
    private mutating func forget(_ descriptor: MapDescriptor) {
        guard case .cluster(let cluster) = descriptor else { return }
        switch newest(descriptor.id) {
        case .cluster(let other): admission.note(other)
        default: admission.forget(cluster.clusterID)
        }
    }

    /// Stores a descriptor of an admitted cluster, tells the driver, and passes it on to every other link.
    mutating func hold(
        _ descriptor: MapDescriptor, from link: UInt64?, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let bytes = descriptor.encode()
        try store.put(MapCore.table, descriptor.id.bytes, bytes)
        stale.remove(descriptor.id.bytes)
        remember(descriptor)
        counters.learned += 1
        switch descriptor {
        case .server(let server): effects.append(.learned(server))
        case .cluster(let cluster):
            clusters[cluster.clusterID] = cluster
            effects.append(.learnedCluster(cluster))
        }
        guard !configuration.isAgent else { return }
        let message = MapMessage.descriptor(bytes).encode()
        for other in peers.keys.sorted() where other != link { sendDescriptor(other, message, &effects) }
    }

    /// Takes a descriptor into memory; the store has it.
    mutating func remember(_ descriptor: MapDescriptor) {
        let id = descriptor.id
        if case .server(let server) = descriptor {
            if held[id] == nil { serverCount[server.clusterID, default: 0] += 1 }
            if let old = servers[server.nodeID], old.clusterID != server.clusterID {
                // A server may move to another cluster, which its certificate proves.
                serverCount[old.clusterID, default: 1] -= 1
                serverCount[server.clusterID, default: 0] += 1
            }
            servers[server.nodeID] = server
        }
        held[id] = descriptor
        pending.remove(id)
        index.insert(MapDigest(id: id, sequence: descriptor.sequence))
    }

    /// Holds what had been put aside and is admitted now.
    private mutating func promote(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for descriptor in pending.descriptors where admission.admits(descriptor.clusterID) {
            if descriptor.isCurrent(at: now), hasRoom(for: descriptor) {
                try hold(descriptor, from: nil, &effects, &store)
            } else {
                pending.remove(descriptor.id)
                unlist(descriptor.id)
                forget(descriptor)
            }
        }
    }

    /// Removes what has expired, and with a cluster's endorsements those whom it had helped in.
    mutating func prune(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for (id, descriptor) in held.filter({ !$0.value.isCurrent(at: now) }).sorted(by: { $0.key < $1.key }) {
            try drop(id, descriptor, &effects, &store)
            forget(descriptor)
        }
        for descriptor in pending.descriptors where !descriptor.isCurrent(at: now) {
            pending.remove(descriptor.id)
            unlist(descriptor.id)
            forget(descriptor)
        }
    }

    /// Puts aside what is admitted no longer: it may be again.
    private mutating func dropUnadmitted(
        _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let out = held.filter { !admission.admits($0.value.clusterID) }.sorted { $0.key < $1.key }
        for (id, descriptor) in out {
            try drop(id, descriptor, &effects, &store)
            if pending[id] == nil { putAside(descriptor) }
        }
    }

    private mutating func drop(
        _ id: Bytes16, _ descriptor: MapDescriptor, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.delete(MapCore.table, id.bytes)
        held[id] = nil
        if let waiting = pending[id] {
            index.insert(MapDigest(id: id, sequence: waiting.sequence))
        } else {
            index.remove(id)
        }
        switch descriptor {
        case .cluster(let cluster): clusters[cluster.clusterID] = nil
        case .server(let server):
            servers[server.nodeID] = nil
            serverCount[server.clusterID, default: 1] -= 1
            effects.append(.lost(server.nodeID))
        }
    }
}
