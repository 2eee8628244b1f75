import Home
import Primitives
import Records
import Storage
import Wire

/// What the user asks for: registering, a second home, moving, leaving (specs/correspondence.md, "Homes").
extension AgentCore {
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

    /// The user's homes, in the order in which the record names them.
    public var homes: [HomeReport] {
        settings.homes.map {
            HomeReport(
                node: $0.node, account: $0.account, stage: $0.reportedStage,
                closesAfter: $0.stage == .leaving ? AgentCore.closingTime($0) : nil)
        }
    }
}
