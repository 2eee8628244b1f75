import Home
import Primitives
import Records
import Storage
import Wire

/// Leaving a home without losing what is under way to it (specs/correspondence.md, "Homes").
extension AgentCore {
    /// Seconds after the last record that named a home has expired until the account may be closed: for clocks, for what
    /// is under way, and for answers that waited in a mailbox.
    static let closingGrace: UInt64 = 3600
    /// Seconds after which a home that does not answer is given up: items in it have expired too.
    static let closingPatience: UInt64 = 30 * 86_400
    static let closingRetry: UInt64 = 5000
    /// Closings sent before a home whose items are given up is forgotten without an answer.
    static let closingAttempts = 6

    /// Enough holders have a record with these homes: whoever is replaced by one of them is not named any more.
    mutating func handOver(
        to published: [NodeID], _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let successors = settings.homes.filter { $0.replaces != nil && published.contains($0.node) }
        guard !successors.isEmpty else { return }
        for successor in successors {
            if let left = successor.replaces { settings.update(left) { $0.stage = .leaving } }
            settings.update(successor.node) { $0.replaces = nil }
        }
        settings.nextPublish = now
        try settings.save(&store)
    }

    /// When the account of a home that is left may be closed at the earliest, if it is empty then.
    static func closingTime(_ home: HomeAccount) -> Timestamp {
        home.discards ? Timestamp(seconds: 0) : Timestamp(seconds: home.listedUntil).adding(seconds: closingGrace)
    }

    /// Whether nothing waits there that anybody wants, as far as the home has said since nobody can know of it any more.
    func isReadyToClose(_ home: HomeAccount) -> Bool {
        if home.discards { return true }
        guard let lastEmpty = homeContacts[home.node]?.lastEmpty else { return false }
        return lastEmpty >= AgentCore.closingTime(home)
    }

    mutating func advanceClosings(
        _ now: Timestamp, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for home in settings.homes where home.stage == .leaving {
            let due = AgentCore.closingTime(home)
            guard now >= due else { continue }
            var contact = homeContacts[home.node] ?? HomeContact()
            guard now >= contact.nextClosing ?? due else { continue }
            let isHopeless =
                home.discards
                ? contact.closings >= AgentCore.closingAttempts
                : now >= due.adding(seconds: AgentCore.closingPatience)
            guard !isHopeless, let account = home.account else {
                try homeClosed(home.node, &effects, &store)
                continue
            }
            guard isReadyToClose(home) else { continue }
            contact.closings += 1
            // Somebody may be waiting for a home to be given up.
            let wait = home.discards ? AgentCore.closingRetry : configuration.longestRetry
            contact.nextClosing = now.adding(milliseconds: wait + queueDelay())
            homeContacts[home.node] = contact
            let body = HomeRequest.close(
                home: home.node, account: account, discards: home.discards,
                recovery: identity.recoveryKey(home: home.node))
            enqueue(.service(.home, destination: home.node, body: body.encode(), reply: .closing(home.node)))
        }
    }

    mutating func closingAnswered(
        _ home: NodeID, _ answer: HomeAnswer, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let known = settings.home(home), known.stage == .leaving else { return }
        switch answer {
        case .closed(let account) where account == known.account: try homeClosed(home, &effects, &store)
        case .refused(.notEmpty):
            homeContacts[home]?.lastEmpty = nil
            homeContacts[home]?.nextAttach = now
        case .refused(.wrongRecovery):
            // An account of the first version: the commitment first.
            if registrations[home] == nil { registrations[home] = Registration(request: 0, now) }
        case .refused: break
        case .registered, .attached, .item, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    private mutating func homeClosed(
        _ home: NodeID, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        settings.homes.removeAll { $0.node == home }
        homeContacts[home] = nil
        registrations[home] = nil
        try forgetNames(at: home, &store)
        try settings.save(&store)
        effects.append(.homeClosed(home))
    }
}
