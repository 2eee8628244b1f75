import Primitives
import Records
import Storage
import Wire

@testable import Directory

/// Servers that make shared random values over links and calls, from event to event through whole days.
final class SharedNetwork {
    static let midnight = Timestamp(seconds: 20_000 * 86_400)

    struct Member {
        let cluster: RandomCircle.Cluster
        let id: NodeID
        var core: SharedRandomCore
        var store = MemoryStore()
        var isUp = true
        var armed: UInt64?
        var reports: [SharedRandomReport] = []
        /// Seconds by which its clock is ahead.
        var ahead: UInt64 = 0
        /// Frames of these kinds of messages it does not send: a liar.
        var withholds: Set<UInt8> = []
    }

    private enum Content {
        case event(SharedRandomCore.Event)
        case ask(from: Int, epoch: UInt64)
        case wake
    }

    var members: [Member] = []
    var entropy: Entropy
    var now = SharedNetwork.midnight
    var frames = 0
    var asks = 0
    private var queue: [(due: UInt64, ticket: UInt64, to: Int, content: Content)] = []
    private var ticket: UInt64 = 0

    /// - Parameter age: for how many epochs the clusters have been on everybody's map.
    init(_ count: Int, seed: UInt64, age: UInt64 = 8) throws {
        print("shared network seed \(seed)")
        entropy = Entropy(seed: seed)
        for _ in 0..<count { try add(age: age) }
        for index in members.indices { try start(index) }
    }

    @discardableResult
    func add(age: UInt64) throws -> Int {
        let cluster = RandomCircle.Cluster(&entropy)
        let id = Node.id(of: cluster.signer.certificate.serverID)
        let core = try SharedRandomCore(own: id, now: now, store: MemoryStore())
        members.append(Member(cluster: cluster, id: id, core: core))
        guard age > 0 else { return members.count - 1 }
        // Each notes the others as of so long ago, and of every epoch since.
        let clusters = Set(members.map(\.cluster.id))
        for index in members.indices {
            var history = ClusterHistory()
            var store = MemoryStore()
            for epoch in now.epoch - age..<now.epoch { try history.note(clusters, epoch: epoch, &store) }
            members[index].store = store
        }
        return members.count - 1
    }

    var nodes: [Placement.Node] {
        members.enumerated().map { index, member in
            Placement.Node(id: member.id, cluster: member.cluster.id, prefix: [10, UInt8(index)])
        }
    }

    /// Starts a server from its store, as a process does.
    func start(_ index: Int) throws {
        forget(index)
        members[index].isUp = true
        members[index].core = try SharedRandomCore(own: members[index].id, now: now, store: members[index].store)
        members[index].core.signer = members[index].cluster.signer
        try handle(index, .map(nodes))
        for other in members.indices where other != index && members[other].isUp {
            try handle(index, .linkUp(UInt64(other)))
            try handle(other, .linkUp(UInt64(index)))
        }
    }

    func stop(_ index: Int) throws {
        members[index].isUp = false
        forget(index)
        for other in members.indices where members[other].isUp { try handle(other, .linkDown(UInt64(index))) }
    }

    /// What was on its way to a server is lost; who asked it hears nothing.
    private func forget(_ index: Int) {
        let lost = queue.filter { $0.to == index }
        queue.removeAll { $0.to == index }
        members[index].armed = nil
        for case .ask(let from, _) in lost.map(\.content) { fail(from, index) }
    }

    private func fail(_ from: Int, _ index: Int) {
        push(now.milliseconds + 1500, from, .event(.failed(members[index].id)))
    }

    func handle(_ index: Int, _ event: SharedRandomCore.Event) throws {
        guard members[index].isUp else { return }
        var member = members[index]
        let clock = clock(index)
        let effects = try member.core.handle(event, now: clock, entropy: &entropy, store: &member.store)
        members[index] = member
        for effect in effects { try perform(effect, of: index) }
        guard let due = members[index].core.nextWake else { return }
        let wake = now.adding(milliseconds: due.milliseconds(since: clock)).milliseconds
        guard wake != members[index].armed else { return }
        members[index].armed = wake
        push(wake, index, .wake)
    }

    private func clock(_ index: Int) -> Timestamp { now.adding(seconds: members[index].ahead) }

    /// Sets a server's clock, as its directory sees to it.
    func setClock(_ index: Int, ahead: UInt64) throws {
        let isBack = ahead < members[index].ahead
        members[index].ahead = ahead
        let clock = clock(index)
        var member = members[index]
        if isBack { try member.core.turnBack(to: clock, &member.store) }
        members[index] = member
        try handle(index, .wake)
    }

    private func perform(_ effect: SharedRandomCore.Effect, of index: Int) throws {
        switch effect {
        case .send(let link, let frame):
            guard frame.count < 2 || !members[index].withholds.contains(frame[1]) || frame[0] != 16 else { return }
            frames += 1
            push(later(), Int(link), .event(.message(link: UInt64(index), frame)))
        case .ask(let node, let epoch):
            asks += 1
            guard let target = members.firstIndex(where: { $0.id == node && $0.isUp }) else {
                return push(now.milliseconds + 1500, index, .event(.failed(node)))
            }
            push(later(), target, .ask(from: index, epoch: epoch))
        case .value: break
        case .report(let report): members[index].reports.append(report)
        }
    }

    private func later() -> UInt64 { now.milliseconds + 1 + UInt64(entropy.below(200)) }

    private func push(_ due: UInt64, _ to: Int, _ content: Content) {
        queue.append((due, ticket, to, content))
        ticket += 1
    }

    /// Lets time pass to so many hours after the first midnight.
    func run(toHour hour: Double) throws {
        let end = SharedNetwork.midnight.milliseconds + UInt64(hour * 3_600_000)
        while let next = queue.indices.min(by: { (queue[$0].due, queue[$0].ticket) < (queue[$1].due, queue[$1].ticket) }
        ),
            queue[next].due <= end
        {
            let (due, _, to, content) = queue.remove(at: next)
            now.milliseconds = max(now.milliseconds, due)
            switch content {
            case .event(let event): try handle(to, event)
            case .ask(let from, let epoch):
                guard members[to].isUp else {
                    fail(from, to)
                    continue
                }
                let answer = members[to].core.answer(epoch)
                push(later(), from, .event(.answer(members[to].id, answer)))
            case .wake:
                members[to].armed = nil
                if let wake = members[to].core.nextWake, wake <= clock(to) { try handle(to, .wake) }
            }
        }
        now.milliseconds = end
    }

    /// What those that are up know of an epoch, counted from the first day as 0.
    func values(_ day: UInt64, of which: [Int]? = nil) -> Set<SharedValue?> {
        Set((which ?? Array(members.indices)).filter { members[$0].isUp }.map { members[$0].core.values[20_000 + day] })
    }

    /// Whether all know one value that was agreed on or follows from one.
    func isAgreed(_ day: UInt64) -> Bool {
        guard let value = values(day).first, values(day).count == 1 else { return false }
        return value?.bytes != nil
    }

    var failures: Int { members.reduce(0) { $0 + Int($1.core.counters.fallbacks) } }
}
