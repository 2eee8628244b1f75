import Primitives
import Records
import Wire

/// One iterative search: α calls at a time over disjoint paths (S/Kademlia, Baumgart and Mies, 2007), towards the
/// nodes closest to a target.
struct Iteration: Sendable {
    /// Calls under way at a time.
    static let alpha = 4
    /// Paths that share no node, so that a liar misleads only one.
    static let paths = 4
    /// Calls in all.
    static let callLimit = 96
    /// Milliseconds after which the search ends with what it has.
    static let deadline: UInt64 = 5000

    enum Goal: Sendable {
        /// Contacts near the target, for joining and refreshing.
        case nodes
        /// A record, for whoever waits under the token.
        case value(key: VerifyingKey, epoch: UInt64, token: UInt64)
        /// The places at which to keep a record.
        case place(record: [UInt8])
    }

    private enum State: Sendable {
        case fresh
        case asked
        case answered
        case failed
    }

    private struct Candidate: Sendable {
        let contact: Contact
        let distance: Bytes32
        let path: Int
        var state = State.fresh
    }

    let target: Bytes32
    let goal: Goal
    let started: Timestamp
    private var candidates: [NodeID: Candidate] = [:]
    private var underway = 0
    private var calls = 0
    private var nextPath = 0
    private let own: NodeID

    init(target: Bytes32, goal: Goal, start: [Contact], own: NodeID, now: Timestamp) {
        self.target = target
        self.goal = goal
        self.own = own
        started = now
        for (index, contact) in start.enumerated() { add(contact, path: index % Iteration.paths) }
    }

    /// What is asked of each node.
    var message: DirectoryMessage {
        switch goal {
        case .nodes, .place: .findNode(target: target)
        case .value(let key, let epoch, _): .findValue(key: key, epoch: epoch)
        }
    }

    /// The contacts to call now.
    mutating func next() -> [Contact] {
        var out: [Contact] = []
        while underway < Iteration.alpha, calls < Iteration.callLimit {
            guard let choice = choose() else { break }
            candidates[choice]?.state = .asked
            underway += 1
            calls += 1
            if let contact = candidates[choice]?.contact { out.append(contact) }
        }
        return out
    }

    /// The nearest fresh candidate of the path whose turn it is, among that path's k nearest.
    private mutating func choose() -> NodeID? {
        for _ in 0..<Iteration.paths {
            let path = nextPath
            nextPath = (nextPath + 1) % Iteration.paths
            let near = candidates.values.filter { $0.path == path && $0.state != .failed }
                .sorted { $0.distance < $1.distance }.prefix(RoutingTable.k)
            if let fresh = near.first(where: { $0.state == .fresh }) { return fresh.contact.nodeID }
        }
        return nil
    }

    /// A node answered with contacts.
    mutating func answered(_ node: NodeID, _ contacts: [Contact]) {
        guard let candidate = candidates[node], candidate.state == .asked else { return }
        underway -= 1
        candidates[node]?.state = .answered
        for contact in contacts { add(contact, path: candidate.path) }
    }

    mutating func failed(_ node: NodeID) {
        guard let candidate = candidates[node], candidate.state == .asked else { return }
        underway -= 1
        candidates[node]?.state = .failed
    }

    var isFinished: Bool { underway == 0 }

    /// The nodes closest to the target that have answered.
    func closest(_ limit: Int) -> [Contact] {
        candidates.values.filter { $0.state == .answered }.sorted { $0.distance < $1.distance }
            .prefix(limit).map(\.contact)
    }

    private mutating func add(_ contact: Contact, path: Int) {
        guard contact.nodeID != own, candidates[contact.nodeID] == nil, candidates.count < 4 * Iteration.callLimit
        else { return }
        candidates[contact.nodeID] = Candidate(
            contact: contact, distance: contact.nodeID.distance(to: target), path: path)
    }
}
