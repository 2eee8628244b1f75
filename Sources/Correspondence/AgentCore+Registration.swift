import Home
import Primitives
import Records
import Storage
import Wire

/// Opening accounts and giving them new keys (specs/correspondence.md, "Homes").
extension AgentCore {
    static let registrationAttempts = 6
    static let registrationRetry: UInt64 = 5000

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
            // Whoever waits is told soon after the last try that there was no answer.
            let isPatient = current.request == 0 && current.attempts >= AgentCore.registrationAttempts
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
        // An account is named after its first key. To register with a later one would open another account beside it, and
        // what waits in the first would be lost.
        if let account = home.account, account != Account.id(of: key.publicKey) {
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
            if let account = known.account, current.request != 0 {
                return try opened(home, account, current, now, &store)
            }
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
}
