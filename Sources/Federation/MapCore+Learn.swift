import Primitives
import Records
import Storage
import Wire

/// Taking descriptors in, and letting them go.
extension MapCore {
    /// Judges a descriptor from a link: the cheap checks first, signatures last.
    /// - Returns: what it is, if that could be read.
    @discardableResult
    mutating func learn(
        _ bytes: [UInt8], from link: UInt64, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> MapDigest? {
        let descriptor: MapDescriptor
        do throws(DescriptorError) { descriptor = try MapDescriptor(decoding: bytes) } catch {
            refused(error, link)
            return nil
        }
        let digest = MapDigest(id: descriptor.id, sequence: descriptor.sequence)
        if judge(descriptor, digest.id, from: link, now) {
            try take(descriptor, from: link, now, &effects, &store)
        } else {
            try keepEvidence(&effects, &store)
        }
        return digest
    }

    /// Takes a valid descriptor that is newer than any known of its key: into the map, or aside.
    mutating func take(
        _ descriptor: MapDescriptor, from link: UInt64?, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if link != nil, case .server(let server) = descriptor,
            server.serverID == snapshots.signer?.certificate.serverID
        {
            counters.copies += 1
            effects.append(.copied(server))
        }
        let change = admit(descriptor)
        if !admission.admits(descriptor.clusterID) {
            putAside(descriptor)
        } else if try makeRoom(for: descriptor, now, &effects, &store) {
            try hold(descriptor, from: link, now, &effects, &store)
        } else {
            counters.full += 1
            pending.remove(descriptor.id)
        }
        try follow(change, now, &effects, &store)
    }

    /// What a descriptor's endorsements change. A large map, and one that has decided often in this interval, waits for the
    /// next wake, which decides once for all that came in between: nobody may make it think over the whole map by a
    /// message.
    private mutating func admit(_ descriptor: MapDescriptor) -> (grew: Bool, shrank: Bool) {
        guard case .cluster(let cluster) = descriptor else { return (false, false) }
        admission.note(cluster)
        let isSoon =
            clusterTotal <= MapCore.smallEnough
            && admission.decisions - decidedBefore < MapCore.decisionsAtOnce
        return isSoon ? admission.refresh() : (false, false)
    }

    /// Moves descriptors in and out of the map after a decision on who is admitted.
    mutating func follow(
        _ change: (grew: Bool, shrank: Bool), _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if change.grew || change.shrank { snapshots.speakers = [:] }
        if change.shrank { try dropUnadmitted(now, &effects, &store) }
        if change.grew { try promote(now, &effects, &store) }
    }

    /// Whether the descriptor is new and valid; otherwise counts why not.
    private mutating func judge(
        _ descriptor: MapDescriptor, _ id: Bytes16, from link: UInt64, _ now: Timestamp
    ) -> Bool {
        do throws(DescriptorError) {
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
                return false
            }
            let isRenewal = held.contains(id)
            guard !isRenewal || !versions.isSpent(id, now) else {
                counters.hasty += 1
                return false
            }
            try descriptor.verify(at: now)
            if isRenewal { versions.note(id, now, capacity: configuration.capacity) }
            return true
        } catch {
            refused(error, link)
            return false
        }
    }

    private mutating func refused(_ error: DescriptorError, _ link: UInt64) {
        switch error {
        case .malformed(.unknownKind): counters.later += 1
        case .malformed, .foreignKey: counters.malformed += 1
        case .oversize: counters.oversize += 1
        case .expired, .lastsTooLong: counters.expired += 1
        case .wrongSignature, .wrongCertificate:
            counters.forged += 1
            peers[link]?.shares.receives -= configuration.forgeryCost
        }
    }

    /// The version with the higher sequence, of the one held and the one that waits for admission.
    func newest(_ id: Bytes16) -> MapDescriptor? {
        guard let waiting = pending[id] else { return held[id] }
        guard let current = held.header(id), current.sequence >= waiting.sequence else { return waiting }
        return held[id]
    }

    func hasRoom(for descriptor: MapDescriptor) -> Bool {
        let known = held.header(descriptor.id)
        // One that moves takes a place of its new cluster.
        if known?.clusterID == descriptor.clusterID { return true }
        guard known != nil || held.count < configuration.capacity else { return false }
        if case .cluster = descriptor { return true }
        return roster.count(descriptor.clusterID) < configuration.serversPerCluster
    }

    /// Whether there is room, if need be in place of the cluster's server with the highest identifier: whatever order
    /// they come in, all maps end with the same servers of a cluster that has too many, and do not differ for ever.
    private mutating func makeRoom(
        for descriptor: MapDescriptor, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) -> Bool {
        guard !hasRoom(for: descriptor) else { return true }
        let cluster = descriptor.clusterID
        if case .cluster = descriptor { return false }
        guard roster.count(cluster) >= configuration.serversPerCluster, let last = servers(of: cluster).last,
            descriptor.id < last
        else { return false }
        counters.full += 1
        try drop(last, now, &effects, &store)
        return hasRoom(for: descriptor)
    }

    /// Keeps a descriptor until its cluster is admitted. Strangers' give way to each other only, not to those of
    /// clusters that peer with an admitted one.
    private mutating func putAside(_ descriptor: MapDescriptor) {
        counters.pending += 1
        if case .cluster(let cluster) = descriptor, admission.isInCircle(cluster.clusterID) { counters.circular += 1 }
        let isVouchedFor = admission.isVouchedFor(descriptor.clusterID)
        guard let victim = pending.insert(descriptor, isVouchedFor: isVouchedFor, limit: configuration.pendingLimit)
        else { return }
        counters.evicted += 1
        forget(victim)
    }

    /// Clusters put aside now that endorse each other while nobody on the map vouches for enough of them: while a network
    /// starts these are honest ones too, in one that stands they are circles of strangers. Not cheap.
    public var circles: Int {
        pending.descriptors.count {
            if case .cluster(let cluster) = $0 { admission.isInCircle(cluster.clusterID) } else { false }
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
        _ descriptor: MapDescriptor, from link: UInt64?, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let bytes = descriptor.encode()
        let id = descriptor.id
        let isNew = !held.contains(id)
        try store.put(MapCore.table, id.bytes, bytes)
        stale.remove(id.bytes)
        guard remember(descriptor, bytes) else {
            counters.full += 1
            return try store.delete(MapCore.table, id.bytes)
        }
        counters.learned += 1
        switch descriptor {
        case .server(let server):
            if isNew { try newcomers.tenure.arrived(id, now, &store) }
            effects.append(.learned(server))
        case .later(let server):
            if isNew { try newcomers.tenure.arrived(id, now, &store) }
            counters.later += 1
            // What was known of it by an earlier version is over.
            effects.append(.lost(server.nodeID))
        case .cluster(let cluster):
            if cluster.isLater { counters.later += 1 }
            effects.append(.learnedCluster(cluster))
        }
        passOn(id, from: link, &effects)
    }

    /// Tells what is new at once to those who speak version 1, and in a small map to everybody; else comparison spreads
    /// it without sending it to anybody twice.
    private mutating func passOn(_ id: Bytes16, from link: UInt64?, _ effects: inout [MapEffect]) {
        guard !configuration.isAgent else { return }
        for other in peers.keys.sorted() where other != link {
            guard let peer = peers[other], !peer.isIncompatible, isSmall || !peer.speaksTwo else { continue }
            sendHeld(id, other, asRenewal: held.isRenewed(id), &effects)
        }
    }

    /// Takes a descriptor into memory; the store has it, or gets it.
    /// - Returns: whether there was room.
    @discardableResult
    mutating func remember(_ descriptor: MapDescriptor, _ bytes: [UInt8]) -> Bool {
        let id = descriptor.id
        let old = held.header(id)
        guard held.insert(bytes, id: id) else { return false }
        // A server may move to another cluster, which its certificate proves.
        if let old { uncount(id, old) }
        switch descriptor {
        case .server, .later:
            let (held, cluster) = (self.held, descriptor.clusterID)
            roster.insert(id, of: cluster) { MapCore.servers(of: cluster, in: held) }
        case .cluster: clusterTotal += 1
        }
        pending.remove(id)
        let digest = MapDigest(id: id, sequence: descriptor.sequence)
        sketches.replace(old.map { MapDigest(id: id, sequence: $0.sequence) }, by: digest)
        return true
    }

    private mutating func uncount(_ id: Bytes16, _ header: DescriptorHeader) {
        if header.isServer { roster.remove(id, of: header.clusterID) } else { clusterTotal -= 1 }
    }

    /// Holds what had been put aside and is admitted now.
    private mutating func promote(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for descriptor in pending.descriptors where admission.admits(descriptor.clusterID) {
            if descriptor.isCurrent(at: now), hasRoom(for: descriptor) {
                try hold(descriptor, from: nil, now, &effects, &store)
            } else {
                pending.remove(descriptor.id)
                forget(descriptor)
            }
        }
    }

    /// Removes what has expired, and with a cluster's endorsements those whom it had helped in.
    mutating func prune(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for id in held.identifiers(where: { $0.end <= now.seconds }) {
            let descriptor = held[id]
            try drop(id, now, &effects, &store)
            if let descriptor { forget(descriptor) }
        }
        for descriptor in pending.descriptors where !descriptor.isCurrent(at: now) {
            pending.remove(descriptor.id)
            forget(descriptor)
        }
    }

    /// Puts aside what is admitted no longer: it may be again.
    private mutating func dropUnadmitted(
        _ now: Timestamp, _ effects: inout [MapEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for id in held.identifiers(where: { !admission.admits($0.clusterID) }) {
            guard let descriptor = held[id] else { continue }
            try drop(id, now, &effects, &store)
            if pending[id] == nil { putAside(descriptor) }
        }
    }

    private mutating func drop(
        _ id: Bytes16, _ now: Timestamp, _ effects: inout [MapEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try store.delete(MapCore.table, id.bytes)
        switch held[id] {
        case .server(let server)?:
            try newcomers.tenure.left(id, now, &store)
            effects.append(.lost(server.nodeID))
        case .later?: try newcomers.tenure.left(id, now, &store)
        case .cluster?, nil: break
        }
        release(id)
    }

    /// Takes a descriptor out of memory.
    mutating func release(_ id: Bytes16) {
        guard let old = held.header(id) else { return }
        held.remove(id)
        uncount(id, old)
        sketches.replace(MapDigest(id: id, sequence: old.sequence), by: nil)
    }
}
