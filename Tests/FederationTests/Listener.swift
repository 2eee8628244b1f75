import Primitives
import Records
import Storage
import Wire

@testable import Federation

/// One map that hears from one peer over link 1.
final class Listener {
    var core: MapCore
    var store = MemoryStore()
    var entropy = Entropy(seed: 70)
    var now = MapNetwork.start

    init(roots: Set<VerifyingKey>, configuration: MapConfiguration = MapConfiguration()) throws {
        core = try MapCore(
            configuration: configuration, admission: Admission(roots: roots), now: MapNetwork.start,
            store: MemoryStore())
        _ = try core.handle(.linkUp(link: 1, peer: Bytes32()), now: now, entropy: &entropy, store: &store)
    }

    @discardableResult
    func hear(_ body: [UInt8]) throws -> [MapEffect] {
        try core.handle(.message(link: 1, body), now: now, entropy: &entropy, store: &store)
    }

    @discardableResult
    func hear(_ descriptor: ServerDescriptor) throws -> [MapEffect] {
        try hear(MapMessage.descriptor(descriptor.encode()).encode())
    }

    @discardableResult
    func hear(_ descriptor: ClusterDescriptor) throws -> [MapEffect] {
        try hear(MapMessage.descriptor(descriptor.encode()).encode())
    }
}
