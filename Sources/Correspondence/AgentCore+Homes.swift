import Home
import Primitives
import Records
import Storage
import Wire

/// Opening accounts, moving from home to home, leaving (specs/correspondence.md, "Homes").
extension AgentCore {
    static let registrationAttempts = 6
    static let registrationRetry: UInt64 = 5000
    /// Seconds after the last record that named a home has expired until the account may be closed: for clocks, for what
    /// is under way, and for answers that waited in a mailbox.
    static let closingGrace: UInt64 = 3600
    /// Seconds after which a home that does not answer is given up: items in it have expired too.
    static let closingPatience: UInt64 = 30 * 86_400
    static let closingRetry: UInt64 = 5000
    /// Closings sent before a home whose items are given up is forgotten without an answer.
    static let closingAttempts = 6

    // MARK: What the user asks for

    mutating func register(
        _ home: NodeID, _ token: String, _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard settings.homes.allSatisfy({ $0.node == home || $0.account == nil }) else {
            effects.append(.failed(request: request, .registeredElsewhere))
            return
        }
        settings.homes.removeAll { $0.node != home }
        registrations = registrations.filter { $0.key == home }
        try open(home, token, replacing: nil, request, now, &entropy, &effects, &store)
    }

    mutating func addHome(
        _ home: NodeID, _ token: String, _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let staying = settings.homes.filter { $0.node != home && ($0.stage == .active || $0.stage == .opening) }
        guard settings.isRegistered else {
            effects.append(.failed(request: request, .notRegistered))
            return
        }
        guard staying.count < RecordBody.homeLimit else {
            effects.append(.failed(request: request, .tooManyHomes(limit: RecordBody.homeLimit)))
            return
        }
        try open(home, token, replacing: nil, request, now, &entropy, &effects, &store)
    }

    /// - Parameter old: the home to leave; `nil` for the first.
    mutating func moveHome(
        to home: NodeID, _ token: String, from old: NodeID?, _ request: UInt64, _ now: Timestamp,
        _ entropy: inout Entropy, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard settings.isRegistered else {
            effects.append(.failed(request: request, .notRegistered))
            return
        }
        let left = old ?? settings.homes.first { $0.stage == .active && $0.node != home }?.node
        if settings.home(home)?.stage == .active, left == nil {
            // The move is done, or was never needed.
            return try open(home, token, replacing: nil, request, now, &entropy, &effects, &store)
        }
        guard let left, left != home, let known = settings.home(left), known.stage == .active || known.stage == .handing
        else {
            effects.append(.failed(request: request, .notYourHome))
            return
        }
        try open(home, token, replacing: left, request, now, &entropy, &effects, &store)
    }

    private mutating func open(
        _ home: NodeID, _ token: String, replacing left: NodeID?, _ request: UInt64, _ now: Timestamp,
        _ entropy: inout Entropy, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let server = network.byID[home], server.roles.contains(.home) else {
            effects.append(.failed(request: request, .unknownHome))
            return
        }
        if settings.home(home) == nil {
            guard settings.homes.count < HomeAccount.limit else {
                effects.append(.failed(request: request, .tooManyHomes(limit: HomeAccount.limit)))
                return
            }
            settings.homes.append(
                HomeAccount(
                    node: home, incarnation: freshIncarnation(now), token: token, stage: .opening,
                    serial: identity.serial))
        }
        settings.update(home) {
            $0.token = token
            $0.replaces = left
            $0.discards = false
            // Somebody comes back to a home that he was about to leave.
            if $0.stage == .leaving || $0.stage == .handing { $0.stage = $0.account == nil ? .opening : .active }
        }
        try settings.save(&store)
        registrations[home] = Registration(request: request, now)
        try chooseGateways(now, &entropy, &effects, &store)
    }

    /// Accounts opened at different times have different keys.
    func freshIncarnation(_ now: Timestamp) -> UInt64 { max(1, now.milliseconds) }

    mutating func removeHome(
        _ home: NodeID, discards: Bool, _ request: UInt64, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let known = settings.home(home) else {
            effects.append(.failed(request: request, .notYourHome))
            return
        }
        guard settings.homes.contains(where: { $0.node != home && $0.isListed && $0.stage == .active }) else {
            effects.append(.failed(request: request, .lastHome))
            return
        }
        registrations[home] = nil
        if known.account == nil {
            settings.homes.removeAll { $0.node == home }
        } else {
            settings.update(home) {
                $0.stage = .leaving
                $0.discards = discards
            }
        }
        settings.nextPublish = now
        try settings.save(&store)
        awaitingPublication.append(AwaitedRecord(request: request, started: now, change: .removed(home)))
    }

    // MARK: Registration

    mutating func advanceRegistrations(
        _ now: Timestamp, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for home in registrations.keys.sorted() {
            guard var current = registrations[home], let account = settings.home(home), now >= current.nextTry else {
                continue
            }
            // One that nobody waits for is never given up, but slows down.
            guard current.attempts < AgentCore.registrationAttempts || current.request == 0 else {
                try registrationFailed(home, .homeUnreachable, &effects, &store)
                continue
            }
            current.attempts += 1
            let isPatient = current.attempts >= AgentCore.registrationAttempts
            current.nextTry = now.adding(
                milliseconds: (isPatient ? configuration.longestRetry : AgentCore.registrationRetry) + queueDelay())
            registrations[home] = current
            enqueue(
                .service(
                    .home, destination: home, body: registrationBody(account).encode(), reply: .registration(home)))
        }
    }

    /// Opens the account, or gives it the key of this identity.
    private func registrationBody(_ home: HomeAccount) -> HomeRequest {
        let key = identity.accountKey(home: home.node, incarnation: home.incarnation)
        let recovery = identity.recoveryKey(home: home.node)
        if let account = home.account, home.serial < identity.serial {
            return .takeOver(
                home: home.node, account: account, serial: identity.serial, key: key.publicKey, recovery: recovery)
        }
        return .register(
            home: home.node, token: home.token, recovery: Account.commitment(to: recovery.publicKey), key: key)
    }

    mutating func registrationAnswered(
        _ home: NodeID, _ answer: HomeAnswer, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var current = registrations[home], let known = settings.home(home) else { return }
        let key = identity.accountKey(home: home, incarnation: known.incarnation).publicKey
        switch answer {
        case .registered(let account) where account == Account.id(of: key):
            try opened(home, account, current, now, &store)
        case .takenOver(let serial) where serial == identity.serial:
            registrations[home] = nil
            settings.update(home) { $0.serial = serial }
            try settings.save(&store)
            homeContacts[home, default: HomeContact()].nextAttach = now
        case .refused(.unknownAccount):
            // Nothing is there to be taken over: a new account.
            let serial = identity.serial
            settings.update(home) {
                $0.account = nil
                $0.serial = serial
            }
            try settings.save(&store)
            current.nextTry = now
            registrations[home] = current
        case .refused(.superseded) where known.account == nil:
            // An account of this key was here and is closed.
            let incarnation = freshIncarnation(now)
            settings.update(home) { $0.incarnation = max(incarnation, $0.incarnation &+ 1) }
            try settings.save(&store)
            current.nextTry = now
            registrations[home] = current
        case .refused where current.request == 0:
            current.nextTry = now.adding(milliseconds: configuration.longestRetry)
            registrations[home] = current
        case .refused(let refusal):
            try registrationFailed(home, .homeRefused(refusal), &effects, &store)
        case .registered, .attached, .item, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    private mutating func opened(
        _ home: NodeID, _ account: Bytes16, _ current: Registration, _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        registrations[home] = nil
        let serial = identity.serial
        settings.update(home) {
            $0.account = account
            $0.serial = serial
            if $0.stage == .opening { $0.stage = .active }
        }
        if let left = settings.home(home)?.replaces, let place = settings.homes.firstIndex(where: { $0.node == left }),
            let own = settings.homes.firstIndex(where: { $0.node == home })
        {
            settings.homes[place].stage = .handing
            let successor = settings.homes.remove(at: own)
            settings.homes.insert(successor, at: min(place, own))
        }
        settings.nextPublish = now
        try settings.save(&store)
        if current.request != 0 {
            awaitingPublication.append(
                AwaitedRecord(request: current.request, started: current.started, change: .opened(home)))
        }
        homeContacts[home, default: HomeContact()].nextAttach = now
    }

    /// Who asked is told; a home at which no account was ever opened is forgotten.
    private mutating func registrationFailed(
        _ home: NodeID, _ error: AgentError, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let current = registrations.removeValue(forKey: home) else { return }
        if settings.home(home)?.account == nil {
            settings.homes.removeAll { $0.node == home }
        } else {
            settings.update(home) { $0.replaces = nil }
        }
        try settings.save(&store)
        effects.append(.failed(request: current.request, error))
    }

    // MARK: Leaving

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

    // MARK: Report

    /// The user's homes, in the order in which the record names them.
    public var homes: [HomeReport] {
        settings.homes.map {
            HomeReport(
                node: $0.node, account: $0.account, stage: $0.reportedStage,
                closesAfter: $0.stage == .leaving ? AgentCore.closingTime($0) : nil)
        }
    }
}
