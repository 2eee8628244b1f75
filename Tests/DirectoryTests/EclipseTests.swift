import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Directory

@Suite struct EclipseTests {
    static let noon = DirectoryNetwork.noon
    static let hour: UInt64 = 3_600_000

    /// The arc to the `count`th of randomly placed nodes, in units of the mean distance.
    static func arc(_ count: Int, _ entropy: inout Entropy) -> Double {
        var sum = 0.0
        for _ in 0..<count {
            // An exponential step, from a uniform number's binary logarithm.
            sum += exponential(&entropy)
        }
        return sum
    }

    private static func exponential(_ entropy: inout Entropy) -> Double {
        // Von Neumann's method, which needs no logarithm.
        var whole = 0.0
        while true {
            let first = entropy.unit()
            var last = first
            var count = 1
            while true {
                let next = entropy.unit()
                if next >= last { break }
                last = next
                count += 1
            }
            if count % 2 == 1 { return whole + first }
            whole += 1
        }
    }

    @Test("the Poisson tail agrees with sums done by hand")
    func tail() {
        #expect(abs(EclipseWatch.tail(1, mean: 1) - 0.632_120_558_8) < 1e-9)
        #expect(abs(EclipseWatch.tail(3, mean: 2) - 0.323_323_583_8) < 1e-9)
        #expect(abs(EclipseWatch.tail(5, mean: 0.1) - 7.667e-8) < 1e-10)
        #expect(EclipseWatch.tail(0, mean: 0) == 1)
        #expect(EclipseWatch.tail(1, mean: 0) == 0)
        #expect(EclipseWatch.tail(10, mean: 1e9) == 1)
    }

    @Test("an honest network raises no density alarm in 1000 virtual days of all places watched")
    func falseAlarms() {
        var entropy = Entropy(seed: 500)
        var alarms = 0
        var watch = EclipseWatch(now: EclipseTests.noon)
        var now = EclipseTests.noon
        for _ in 0..<1000 {
            now = now.adding(seconds: 86_400)
            // Places change once a day: the rounds within a day repeat one draw.
            for _ in 0..<(Placement.rings * EclipseWatch.keyLimit + 1) {
                for scale in EclipseWatch.scales
                where watch.density(nodes: scale, mean: EclipseTests.arc(scale, &entropy), now: now) != nil {
                    alarms += 1
                }
            }
        }
        // 0.25 in 1000 days at most are expected, with 24 independent draws a day.
        #expect(alarms <= 1)
    }

    @Test("twenty nodes squeezed in before a key's holders raise an alarm in 330 of 330 attacks")
    func crowding() {
        var entropy = Entropy(seed: 501)
        let nodes = PlacementTests.nodes(2000, clusters: 2000, prefixes: 200, seed: 502)
        let placement = Placement(nodes: nodes, epoch: 9)
        let keys: [VerifyingKey] = (0..<EclipseWatch.keyLimit).map { _ in VerifyingKey(entropy.bytes()) }
        var watch = EclipseWatch(now: EclipseTests.noon)
        let result1 = watch.check(placement, own: nodes[0].id, keys: keys, now: EclipseTests.noon)
        #expect(result1 == nil)
        // An attacker has tried so many identities, and takes the twenty that follow a key's index most closely.
        let shared = Placement.sharedRandom(epoch: 9)
        let pool = (0..<40_000 as Range<UInt64>).map { number in
            let id = BLAKE2b.h(Domain("test"), Bytes32(), number)
            return (id: id, word: Placement.position(of: id, shared: shared).leadingWord)
        }.sorted { $0.word < $1.word }
        var caught = 0
        for attack in 0..<330 {
            let key = VerifyingKey(entropy.bytes())
            let index = Placement.index(of: key, ring: attack % Placement.rings).leadingWord
            let first = pool.firstIndex { $0.word >= index } ?? 0
            let sybils = (0..<20).map { number in
                let identity = pool[(first + number) % pool.count]
                return Placement.Node(id: identity.id, cluster: VerifyingKey(identity.id), prefix: [1, UInt8(number)])
            }
            var watch = EclipseWatch(now: EclipseTests.noon)
            let map = Placement(nodes: nodes + sybils, epoch: 9)
            let alarm = watch.check(map, own: nodes[attack].id, keys: [key], now: EclipseTests.noon)
            if alarm != nil { caught += 1 }
        }
        #expect(caught == 330, "\(caught)")
        // Nodes whose identities were ground until they lie behind the index.
        let index = Placement.index(of: keys[3], ring: 2)
        var ground: [Placement.Node] = []
        var tries: UInt64 = 0
        while ground.count < 5, tries < 2_000_000 {
            let id = BLAKE2b.h(Domain("test"), Bytes32(), tries)
            tries += 1
            let place = Placement.position(of: id, shared: Placement.sharedRandom(epoch: 9))
            if Double(place.leadingWord &- index.leadingWord) / 0x1p64 * 2000 < 0.05 {
                ground.append(Placement.Node(id: id, cluster: VerifyingKey(id), prefix: [1, UInt8(ground.count)]))
            }
        }
        let crowded = Placement(nodes: nodes + ground, epoch: 9)
        guard case .density = watch.check(crowded, own: nodes[0].id, keys: keys, now: EclipseTests.noon) else {
            Issue.record("not noticed")
            return
        }
        #expect(watch.isAlarmed(at: EclipseTests.noon))
        // Once an hour, not with each look.
        let result2 = watch.check(crowded, own: nodes[0].id, keys: keys, now: EclipseTests.noon)
        #expect(result2 == nil)
        #expect(!watch.isAlarmed(at: EclipseTests.noon.adding(milliseconds: EclipseWatch.quiet)))
    }

    @Test(
        "searches in an honest network end quietly; forty-five identities ground for the key are noticed, near or spread"
    )
    func crowd() {
        var entropy = Entropy(seed: 507)
        let size = 10_000
        func distances(_ arcs: [Double]) -> [Bytes32] {
            arcs.sorted().map { arc in
                let word = UInt64(min(arc / Double(size), 0.999) * 0x1p64)
                return Bytes32(withUnsafeBytes(of: word.bigEndian, Array.init) + [UInt8](repeating: 1, count: 24))
                    ?? Bytes32()
            }
        }
        /// The nearest of an honest network, in nodes that are expected up to there.
        func honest() -> [Double] {
            var sum = 0.0
            return (0..<60).map { _ in
                sum += EclipseTests.arc(1, &entropy)
                return sum
            }
        }
        var quiet = EclipseWatch(now: EclipseTests.noon)
        for _ in 0..<3000 {
            // Of an honest network one in twelve may be on no map yet.
            let found = distances(honest())
            let new = Set(found.filter { _ in entropy.below(12) == 0 })
            #expect(quiet.crowd(found, strangers: new, nodes: size, now: EclipseTests.noon) == nil)
        }
        for radius in [1.0, 5, 20] {
            var (caught, recognised) = (0, 0)
            for _ in 0..<300 {
                var watch = EclipseWatch(now: EclipseTests.noon)
                let ground = (0..<45).map { _ in radius * entropy.unit() }
                let alarm = watch.crowd(distances(honest() + ground), nodes: size, now: EclipseTests.noon)
                caught += alarm == nil ? 0 : 1
                // The same when it is seen that the map has none of them.
                var another = EclipseWatch(now: EclipseTests.noon)
                let found = distances(honest() + ground)
                let strangers = Set(distances(ground))
                let isNoticed =
                    another.crowd(found, strangers: strangers, nodes: size, now: EclipseTests.noon) != nil
                recognised += isNoticed ? 1 : 0
            }
            #expect(recognised == 300, "\(radius): \(recognised)")
            // Where twenty are expected forty-five more are three times as many: most of those are noticed.
            #expect(radius == 20 ? caught > 150 : caught == 300, "\(radius): \(caught)")
        }
    }

    @Test("three servers that send false records in one search raise an alarm, two do not; few nodes are not judged")
    func falseRecords() {
        var watch = EclipseWatch(now: EclipseTests.noon)
        let two = watch.falseRecords(2, now: EclipseTests.noon)
        #expect(two == nil)
        let three = watch.falseRecords(3, now: EclipseTests.noon)
        #expect(three == .falseRecords(nodes: 3))
        #expect(watch.isAlarmed(at: EclipseTests.noon))
        var small = EclipseWatch(now: EclipseTests.noon)
        let crowded = [Bytes32](repeating: Bytes32([UInt8](repeating: 0, count: 31) + [1]) ?? Bytes32(), count: 40)
        let unjudged = small.crowd(crowded, nodes: EclipseWatch.least - 1, now: EclipseTests.noon)
        #expect(unjudged == nil)
        let judged = small.crowd(crowded, nodes: EclipseWatch.least, now: EclipseTests.noon)
        #expect(judged == .crowd(nodes: 5, hundredths: 0))
        // The target itself does not count.
        var own = EclipseWatch(now: EclipseTests.noon)
        let itself = own.crowd([Bytes32](repeating: Bytes32(), count: 40), nodes: 1000, now: EclipseTests.noon)
        #expect(itself == nil)
    }

    @Test("who holds few records looks after all of them, wherever it begins; who holds many after sixteen of them")
    func watchedKeys() throws {
        var entropy = Entropy(seed: 508)
        var network = DirectoryNetwork(seed: 509)
        let core = network.members[try network.add()].core
        var store = MemoryStore()
        var held: Set<VerifyingKey> = []
        for count in 1...40 {
            let key = VerifyingKey(entropy.bytes())
            held.insert(key)
            try store.put(RecordStore.table, key.bytes.bytes, [1])
            for start in [[UInt8](repeating: 255, count: 32), entropy.array(Bytes32.count), []] {
                let watched = try core.watchedKeys(from: start, store)
                #expect(watched.count == min(count, EclipseWatch.keyLimit))
                #expect(Set(watched).count == watched.count && held.isSuperset(of: watched))
            }
        }
    }

    @Test("searches that others ask for leave room for the looks at one's own contacts")
    func looks() {
        let crowded = [Bytes32](repeating: Bytes32([UInt8](repeating: 0, count: 31) + [1]) ?? Bytes32(), count: 40)
        var watch = EclipseWatch(now: EclipseTests.noon)
        let far = [Bytes32](repeating: Bytes32([UInt8](repeating: 255, count: 32)) ?? Bytes32(), count: 40)
        for _ in 0..<EclipseWatch.crowdLimit {
            let quiet = watch.crowd(far, nodes: 1000, now: EclipseTests.noon)
            #expect(quiet == nil)
        }
        let search = watch.crowd(crowded, nodes: 1000, now: EclipseTests.noon)
        #expect(search == nil)
        let look = watch.crowd(crowded, nodes: 1000, isLook: true, now: EclipseTests.noon)
        #expect(look != nil)
    }

    @Test("joins as usual are quiet; thirty of one prefix within an hour are not")
    func joinRate() {
        var entropy = Entropy(seed: 503)
        var watch = EclipseWatch(now: EclipseTests.noon)
        var now = EclipseTests.noon
        for _ in 0..<48 * 20 {
            now = now.adding(milliseconds: EclipseTests.hour / 20)
            let prefix = UInt64(entropy.below(100))
            let result3 = watch.joined(prefix: prefix, share: 0.01, now: now)
            #expect(result3 == nil)
        }
        var alarm: EclipseWatch.Alarm?
        for _ in 0..<30 { alarm = watch.joined(prefix: 7, share: 0.01, now: now) ?? alarm }
        #expect(alarm != nil)
    }

    @Test("a map that doubles within an hour raises an alarm, one that grows by a tenth a day does not")
    func size() {
        var watch = EclipseWatch(now: EclipseTests.noon)
        var now = EclipseTests.noon
        var count = 1000.0
        for _ in 0..<24 * 30 {
            now = now.adding(milliseconds: EclipseTests.hour)
            count *= 1.004
            let result4 = watch.size(Int(count), now: now)
            #expect(result4 == nil)
        }
        let result5 = watch.size(Int(count * 2), now: now)
        #expect(result5 == .size(now: Int(count * 2), before: Int(count)))
        var shrinking = EclipseWatch(now: now)
        let result6 = shrinking.size(1000, now: now)
        #expect(result6 == nil)
        let result7 = shrinking.size(500, now: now)
        #expect(result7 == .size(now: 500, before: 1000))
        // Too small to judge.
        var small = EclipseWatch(now: now)
        let result8 = small.size(7, now: now)
        #expect(result8 == nil)
        let result9 = small.size(21, now: now)
        #expect(result9 == nil)
    }

    @Test("a restart into a network without any of the known servers raises an alarm")
    func anchors() {
        var watch = EclipseWatch(now: EclipseTests.noon)
        let result10 = watch.anchors(answered: 30, of: 64, strangers: 100, now: EclipseTests.noon)
        #expect(result10 == nil)
        let result11 = watch.anchors(answered: 0, of: 64, strangers: 3, now: EclipseTests.noon)
        #expect(result11 == nil)
        let result12 = watch.anchors(answered: 2, of: 64, strangers: 40, now: EclipseTests.noon)
        #expect(result12 == .anchors(answered: 2, of: 64))
    }

    @Test(
        "on an alarm nobody new is let in, searches make more calls at once, and the operator is told; after an hour it ends"
    )
    func reaction() throws {
        var network = try DirectoryNetwork.joined(seed: 504, 60)
        #expect(network.alarms.isEmpty)
        let half = Array(network.nodes.prefix(30))
        try network.handle(3, .map(half))
        #expect(network.alarms[3] == [.size(now: 30, before: 60)])
        #expect(network.members[3].core.counters.alarms == 1)
        let standing = network.members[3].core.standingAlarms(at: network.now.adding(milliseconds: 60_000))
        #expect(standing.map(\.alarm) == [.size(now: 30, before: 60)])
        #expect(standing.map(\.left) == [EclipseWatch.quiet - 60_000])
        let newcomer = try network.add()
        let before = network.members[3].core.contactCount
        try network.handle(newcomer, .join([network.members[3].endpoint]))
        try network.run(milliseconds: 5000)
        #expect(network.members[3].core.contactCount <= before)
        #expect(network.members[3].core.counters.frozenOut > 0)
        let id = Node.id(of: network.members[newcomer].serverID)
        #expect(network.members[3].core.table.contact(id) == nil)
        var core = network.members[3].core
        var store = network.members[3].store
        let iterate = DirectoryMessage.iterate(key: VerifyingKey(network.entropy.bytes()), epoch: 1).encode()
        let effects = try core.handle(
            .request(from: nil, token: 1, message: iterate), now: network.now, entropy: &network.entropy,
            store: &store)
        #expect(effects.count == 2 * Iteration.paths)
        network.now = network.now.adding(milliseconds: EclipseWatch.quiet)
        #expect(!network.members[3].core.isFrozen(network.now))
        #expect(network.members[3].core.standingAlarms(at: network.now).isEmpty)
    }

    @Test("on an alarm searches begin with contacts of before yesterday or of the last run, while there are enough")
    func settled() throws {
        var network = try DirectoryNetwork.joined(seed: 507, 40)
        var core = network.members[3].core
        #expect(core.table.count >= RoutingTable.k)
        func starts(_ core: DirectoryCore, with contact: Contact, _ now: Timestamp) throws -> Bool {
            var core = core
            var effects: [DirectoryEffect] = []
            let started = core.start(.nodes, target: contact.nodeID, now, &effects)
            let id = try #require(started)
            let calls = core.iterations[id]?.next() ?? []
            #expect(!calls.isEmpty)
            return calls.contains(contact)
        }
        let later = network.now.adding(seconds: 2 * 86_400)
        let newcomer = RoutingTableTests.contact(&network.entropy, prefix: 300)
        let anchor = RoutingTableTests.contact(&network.entropy, prefix: 301)
        core.trust.expect([anchor.endpoint], from: .anchors)
        _ = core.table.insert(newcomer, now: later)
        _ = core.table.insert(anchor, isAnchor: core.trust.isAnchor(anchor.endpoint), now: later)
        #expect(try starts(core, with: newcomer, later))
        #expect(try starts(core, with: anchor, later))

        let alarm = core.watch.density(nodes: 50, mean: 0.1, now: later)
        #expect(alarm != nil)
        #expect(try !starts(core, with: newcomer, later))
        #expect(try starts(core, with: anchor, later))
        // Asked again today, it is as new; and nobody is left out where all are.
        _ = core.table.insert(newcomer, now: later)
        #expect(try !starts(core, with: newcomer, later))
        var young = network.members[3].core
        _ = young.table.insert(newcomer, now: network.now)
        _ = young.watch.density(nodes: 50, mean: 0.1, now: network.now)
        #expect(young.isAlarmed(at: network.now))
        #expect(try starts(young, with: newcomer, network.now))
    }

    @Test("a view is trusted after three unrelated servers, or three classes of sources, and not before")
    func bootstrap() throws {
        var entropy = Entropy(seed: 505)
        func endpoint(_ prefix: Int) -> Endpoint { RoutingTableTests.contact(&entropy, prefix: prefix).endpoint }
        let endpoints = (0..<8).map { endpoint($0 < 4 ? 1 : $0) }
        let clusters: [VerifyingKey] = (0..<8).map { _ in VerifyingKey(entropy.bytes()) }
        var trust = BootstrapTrust()
        trust.expect(Array(endpoints[0..<4]), from: .bundled)
        trust.expect([endpoints[4]], from: .manual)
        trust.expect(Array(endpoints[5...6]), from: .anchors)
        // Four of one network count once.
        for index in 0..<4 { trust.answered(endpoints[index], cluster: clusters[index]) }
        #expect(!trust.isReached)
        // One of another network but of the same cluster does not count either, nor a stranger.
        trust.answered(endpoints[4], cluster: clusters[0])
        trust.answered(endpoints[7], cluster: clusters[7])
        #expect(!trust.isReached)
        trust.answered(endpoints[5], cluster: clusters[5])
        trust.answered(endpoints[5], cluster: clusters[5])
        #expect(!trust.isReached)
        #expect(trust.anchors == 2 && trust.anchorsAnswered == 1)
        trust.answered(endpoints[6], cluster: clusters[6])
        #expect(trust.isReached)
        #expect(trust.report.unrelated == 3)
        #expect(trust.report.counts[.bundled] == .init(named: 4, answered: 4))
        #expect(trust.report.counts[.manual] == .init(named: 1, answered: 1))
        #expect(trust.report.counts[.invitation] == .init(named: 0, answered: 0))

        // Three classes are enough, even of one network, if each speaks through another cluster.
        var classes = BootstrapTrust()
        for (index, source) in [BootstrapSource.bundled, .invitation, .manual].enumerated() {
            #expect(!classes.isReached)
            classes.expect([endpoints[index]], from: source)
            classes.answered(endpoints[index], cluster: clusters[index == 1 ? 0 : index])
            if index == 1 { classes.answered(endpoints[index], cluster: clusters[1]) }
        }
        #expect(classes.isReached)

        // Who is known from two sources speaks under one of them, and at whatever address.
        var twice = BootstrapTrust()
        for source in BootstrapSource.allCases { twice.expect(Array(endpoints[0..<2]), from: source) }
        let moved = Endpoint(linkKey: endpoints[0].linkKey, address: endpoints[1].address)
        for _ in 0..<3 { twice.answered(moved, cluster: clusters[0]) }
        twice.answered(endpoints[1], cluster: clusters[1])
        #expect(!twice.isReached)
        #expect(twice.report.counts.values.allSatisfy { $0 == .init(named: 2, answered: 2) })

        var network = DirectoryNetwork(seed: 506)
        for _ in 0..<5 { try network.add() }
        // Whom the map names speaks for the map, and that for itself.
        try network.handle(4, .join((0..<4).map { network.members[$0].endpoint }))
        try network.run(milliseconds: 2000)
        #expect(network.members[4].core.contactCount == 4)
        #expect(!network.members[4].core.viewTrust.isReached && network.members[4].core.viewTrust.unrelated == 0)
        try network.handle(0, .bootstrap(.manual, [network.members[1].endpoint, network.members[2].endpoint]))
        try network.run(milliseconds: 2000)
        #expect(!network.members[0].core.viewTrust.isReached)
        try network.handle(0, .bootstrap(.invitation, [network.members[3].endpoint]))
        try network.run(milliseconds: 2000)
        #expect(network.members[0].core.viewTrust.isReached)
    }
}
