import Primitives
import Records
import Wire

/// One iterative search over paths that share no node (S/Kademlia, Baumgart and Mies, 2007), towards the nodes closest
/// to a target.
///
/// Deviations: in searches for contacts half of the paths wait until there is trouble (a call that failed or was late, a
/// path at its end), so that undisturbed they cost no more calls than Kademlia's; in searches for a record all are walked
/// at once, and in trouble two nodes of each are asked at a time, for somebody waits; and a path takes at most
/// ``sourceLimit`` of what one node named before it takes what others named, so a liar that names only its friends does not
/// own the path.
struct Iteration: Sendable {
    /// Calls under way at a time, without those that are late, in searches for contacts; and once there is trouble.
    static let alpha = 4
    private static let wideCalls = 8
    /// The same in searches for a record, for which somebody waits.
    static let recordCalls = 8
    private static let wideRecordCalls = 16
    /// Paths that share no node, so that a liar misleads only one.
    static let paths = 8
    /// Contacts of the own table with which a search begins.
    static let startLimit = 40
    /// The nodes that a path asks before it ends: its nearest. Who looks for contacts asks k.
    static let nearest = 8
    /// From this round on there is trouble: an undisturbed search has ended.
    private static let wideRound = 4
    /// Calls in all.
    static let callLimit = 128
    /// Milliseconds after which the search ends with what it has.
    static let deadline: UInt64 = 5000
    /// Nodes of one address prefix, and nodes named by one node, that a path asks before others.
    private static let prefixLimit = 2
    private static let sourceLimit = 3
    /// Failures of contacts that one node named after which its others come last.
    private static let misleadingLimit: UInt8 = 3
    private static let candidateLimit = 512

    enum Goal: Sendable {
        /// Contacts near the target, for joining and refreshing.
        case nodes
        case value(key: VerifyingKey, epoch: UInt64, place: UInt8, for: Seeker)
    }

    /// Who waits for a record.
    enum Seeker: Sendable {
        /// An agent, under the token of its request.
        case request(token: UInt64)
        /// A lookup of this server.
        case lookup(UInt64)
    }

    private enum State: Sendable {
        case fresh
        case asked
        /// Not answered in time; an answer still counts.
        case late
        case answered
        case failed
    }

    private struct Candidate: Sendable {
        let contact: Contact
        let distance: Bytes32
        let prefix: UInt64
        /// Who named it; `nil` for the own table.
        let source: NodeID?
        /// 1 for a contact of the own table, one more than its source's otherwise.
        let round: Int
        var state = State.fresh
        var cluster: VerifyingKey?
        /// Of those that it named, how many failed.
        var misled: UInt8 = 0
    }

    let target: Bytes32
    let goal: Goal
    private(set) var started: Timestamp
    /// Round trips that had to follow one another so far.
    private(set) var rounds = 0
    /// Those at the record's earlier places, where nothing was found.
    private(set) var earlierRounds = 0
    /// Contacts in answers that named the answerer or this node, or one address twice.
    private(set) var refusedContacts: UInt64 = 0
    private(set) var selfNamed: UInt64 = 0
    /// Nodes most of whose contacts failed.
    private(set) var misleading: UInt64 = 0
    /// Nodes that sent false records.
    private(set) var liars: [NodeID] = []
    // Each path in ascending order of distance.
    private var candidates: [[Candidate]] = Array(repeating: [], count: Iteration.paths)
    private var pathOf: [NodeID: Int] = [:]
    private var underway = 0
    /// Calls made.
    private(set) var calls = 0
    private var nextPath = 0
    /// Paths that are walked, and calls that may be under way.
    private var active = Iteration.alpha
    private var width = Iteration.alpha
    private let own: NodeID

    /// - Parameter isWide: whether all paths are walked from the start, as during an alarm.
    init(
        target: Bytes32, goal: Goal, start: [Contact], own: NodeID, isWide: Bool = false, now: Timestamp
    ) {
        self.target = target
        self.goal = goal
        self.own = own
        started = now
        if awaitsRecord {
            active = Iteration.paths
            width = Iteration.recordCalls
        }
        if isWide { widen() }
        for (index, contact) in start.enumerated() { add(contact, path: index % Iteration.paths, from: nil, round: 1) }
    }

    /// Nothing was found at another place: this search goes on with what is left of that one's time.
    mutating func resume(_ earlier: Iteration) {
        started = earlier.started
        earlierRounds = earlier.earlierRounds + earlier.rounds
    }

    /// The clock went back.
    mutating func turnBack(by amount: UInt64) { started = started.earlier(by: amount) }

    /// What is asked of each node.
    var message: DirectoryMessage {
        switch goal {
        case .nodes: .findNode(target: target)
        case .value(let key, let epoch, let place, _): .findValue(key: key, epoch: epoch, place: place)
        }
    }

    /// The contacts to call now.
    mutating func next() -> [Contact] {
        var out: [Contact] = []
        while underway < width, calls < Iteration.callLimit {
            guard let (path, place) = choose() else {
                // These paths are at their end; the others are walked now.
                guard active < Iteration.paths else { break }
                widen()
                continue
            }
            candidates[path][place].state = .asked
            rounds = max(rounds, candidates[path][place].round)
            if rounds >= Iteration.wideRound { widen() }
            underway += 1
            calls += 1
            out.append(candidates[path][place].contact)
        }
        return out
    }

    /// Walks all paths from now on, and makes more calls at a time.
    mutating func widen() {
        active = Iteration.paths
        width = awaitsRecord ? Iteration.wideRecordCalls : Iteration.wideCalls
    }

    /// Whether somebody waits for a record: calls are given up sooner than where nobody waits for contacts.
    var awaitsRecord: Bool {
        if case .value = goal { return true }
        return false
    }

    private mutating func choose() -> (path: Int, place: Int)? {
        var deep: (path: Int, place: Int)?
        for _ in 0..<active {
            let path = nextPath % active
            nextPath = (path + 1) % active
            guard let place = freshest(path) else { continue }
            if candidates[path][place].round <= Iteration.wideRound { return (path, place) }
            // Liars that name each other make long chains: other paths come first.
            if deep.map({ candidates[path][place].round < candidates[$0.path][$0.place].round }) ?? true {
                deep = (path, place)
            }
        }
        return deep
    }

    /// The nearest candidate of the path that was not asked, among the ``nearest`` that are diverse; when all of
    /// those were asked and are fewer, among the rest.
    private func freshest(_ path: Int) -> Int? {
        var prefixes: [UInt64: Int] = [:]
        var sources: [NodeID: Int] = [:]
        var considered = 0
        var spare: Int?
        let nearest = awaitsRecord ? Iteration.nearest : RoutingTable.k
        for place in candidates[path].indices where considered < nearest {
            let candidate = candidates[path][place]
            guard candidate.state != .failed else { continue }
            var isDiverse = prefixes[candidate.prefix, default: 0] < Iteration.prefixLimit
            if let source = candidate.source {
                isDiverse = isDiverse && sources[source, default: 0] < Iteration.sourceLimit
                isDiverse = isDiverse && misled(by: source) < Iteration.misleadingLimit
            }
            guard isDiverse || candidate.state != .fresh else {
                if spare == nil { spare = place }
                continue
            }
            if candidate.state == .fresh { return place }
            prefixes[candidate.prefix, default: 0] += 1
            if let source = candidate.source { sources[source, default: 0] += 1 }
            considered += 1
        }
        return considered < nearest ? spare : nil
    }

    private func misled(by source: NodeID) -> UInt8 { find(source).map { candidates[$0.path][$0.place].misled } ?? 0 }

    private func find(_ node: NodeID) -> (path: Int, place: Int)? {
        guard let path = pathOf[node],
            let place = candidates[path].firstIndex(where: { $0.contact.nodeID == node })
        else { return nil }
        return (path, place)
    }

    func hasAsked(_ node: NodeID) -> Bool { find(node).map { candidates[$0.path][$0.place].state != .fresh } ?? false }

    /// A node answered with contacts.
    mutating func answered(_ node: NodeID, _ contacts: [Contact], cluster: VerifyingKey? = nil) {
        guard let (path, place) = find(node), settle(path, place, .answered) else { return }
        candidates[path][place].cluster = cluster
        let round = candidates[path][place].round + 1
        // Only within one answer: over several, a liar could shut out an honest node by naming its address.
        var addresses: Set<SocketAddress> = [candidates[path][place].contact.endpoint.address]
        for contact in contacts {
            guard contact.nodeID != node else {
                selfNamed += 1
                continue
            }
            guard addresses.insert(contact.endpoint.address).inserted else {
                refusedContacts += 1
                continue
            }
            add(contact, path: path, from: node, round: round)
        }
    }

    /// A node did not answer, or not with what it was asked.
    mutating func failed(_ node: NodeID) {
        guard let (path, place) = find(node), settle(path, place, .failed) else { return }
        widen()
        guard let source = candidates[path][place].source, let (path, place) = find(source) else { return }
        candidates[path][place].misled += candidates[path][place].misled < .max ? 1 : 0
        if candidates[path][place].misled == Iteration.misleadingLimit { misleading += 1 }
    }

    /// A node is not to be asked: nobody is to blame, and no call was made.
    mutating func skipped(_ node: NodeID) {
        guard let (path, place) = find(node), settle(path, place, .failed) else { return }
        calls -= 1
    }

    /// A node sent a false record: none of those who keep to the protocol does.
    mutating func lied(_ node: NodeID) {
        if find(node) != nil, !liars.contains(node) { liars.append(node) }
        failed(node)
    }

    /// The nodes that have shown that they are there.
    var shown: [NodeID] {
        candidates.joined().filter { $0.state == .answered }.map(\.contact.nodeID) + liars
    }

    /// A node's answer is late: others are asked meanwhile.
    /// - Returns: whether it was awaited.
    mutating func late(_ node: NodeID) -> Bool {
        guard let (path, place) = find(node), candidates[path][place].state == .asked else { return false }
        candidates[path][place].state = .late
        underway -= 1
        widen()
        return true
    }

    /// Ends a call; false when none is open.
    private mutating func settle(_ path: Int, _ place: Int, _ state: State) -> Bool {
        switch candidates[path][place].state {
        case .asked: underway -= 1
        case .late: break
        case .fresh, .answered, .failed: return false
        }
        candidates[path][place].state = state
        return true
    }

    var isFinished: Bool { underway == 0 }

    /// The nodes closest to the target that have answered: of one prefix and one cluster one each while there are others.
    func closest(_ limit: Int) -> [Contact] {
        let near = candidates.joined().filter { $0.state == .answered }.sorted { $0.distance.precedes($1.distance) }
        var prefixes: Set<UInt64> = []
        var clusters: Set<VerifyingKey> = []
        var first: [Contact] = []
        var rest: [Contact] = []
        // Farther than this many, diversity does not count: searchers would not come there.
        for candidate in near.prefix(2 * limit) {
            let isNewCluster = candidate.cluster.map { clusters.insert($0).inserted } ?? true
            if prefixes.insert(candidate.prefix).inserted, isNewCluster {
                first.append(candidate.contact)
            } else {
                rest.append(candidate.contact)
            }
        }
        return Array((first + rest).prefix(limit))
    }

    private mutating func add(_ contact: Contact, path: Int, from source: NodeID?, round: Int) {
        guard contact.nodeID != own, contact.endpoint.address.port != 0 else {
            refusedContacts += source == nil ? 0 : 1
            return
        }
        guard pathOf[contact.nodeID] == nil, pathOf.count < Iteration.candidateLimit else { return }
        pathOf[contact.nodeID] = path
        let distance = contact.nodeID.distance(to: target)
        let place = candidates[path].firstIndex { distance.precedes($0.distance) } ?? candidates[path].count
        candidates[path].insert(
            Candidate(
                contact: contact, distance: distance, prefix: contact.endpoint.address.prefixKey, source: source,
                round: round), at: place)
    }
}
