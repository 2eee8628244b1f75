import Correspondence
import Federation
import NIOCore
import Primitives
import Records

/// Where the user is registered, and with which keys.
extension AgentRuntime {
    /// The clusters on the map, also when they are too few for a path.
    public func clusters() async throws -> [ClusterDescriptor] {
        do {
            try await join(usingGateways: false, timeout: .seconds(20))
        } catch AgentFailure.mapTooSmall(clusters: 1..., needed: _) {}
        return try await onLoop { $0.clusters }
    }

    /// Registers with a server of the cluster of this name or hexadecimal identity, and publishes the record.
    public func register(home: String, token: String, timeout: TimeAmount) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        return try await registration(timeout) { .register(home: server, token: token, request: $0) }
    }

    /// Opens an account at a second home.
    public func addHome(_ home: String, token: String, timeout: TimeAmount) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        return try await registration(timeout) { .addHome(server, token: token, request: $0) }
    }

    /// Opens an account in the place of that at `old`, or of the first one.
    public func moveHome(
        to home: String, token: String, from old: String?, timeout: TimeAmount
    ) async throws -> RegistrationReport {
        let server = try await homeServer(home)
        let left: NodeID? = if let old { try await ownHome(old) } else { nil }
        return try await registration(timeout) { .moveHome(to: server, token: token, from: left, request: $0) }
    }

    /// Leaves a home.
    /// - Parameter discards: whether what waits there is given up.
    public func removeHome(_ home: String, discards: Bool, timeout: TimeAmount) async throws {
        let server = try await ownHome(home)
        return try await request(timeout) {
            .removeHome(server, discards: discards, request: $0)
        } outcome: { request, effect in
            switch effect {
            case .homeRemoved(request): .success(())
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
    }

    /// Replaces all keys but the user's, and waits until enough holders have the new record and every home the new key.
    /// - Returns: the serial, and the homes that did not answer; they are asked again with every later run.
    public func rotate(timeout: TimeAmount) async throws -> (serial: UInt64, pending: Int) {
        try await connect(timeout: min(timeout, .seconds(20)))
        let deadline = NIODeadline.now() + timeout
        let serial = try await request(timeout) {
            .rotate(request: $0)
        } outcome: { request, effect -> Result<UInt64, AgentFailure>? in
            switch effect {
            case .rotated(request, let serial): .success(serial)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
        while true {
            let pending = try await onLoop { $0.core.pendingTakeOvers }
            if pending == 0 || NIODeadline.now() >= deadline { return (serial, pending) }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// The user's homes, each with its cluster's name if that is on the map that the agent has stored.
    public func homes() async throws -> [AgentHome] {
        try await onLoop { owner in
            let table = owner.clusterTable
            return owner.core.homes.map { AgentHome(report: $0, cluster: table.text(of: owner.clusterID(of: $0.node))) }
        }
    }

    /// One of the user's homes by its cluster's name or identity, or by its own node ID, for a home that is not on the
    /// map any more.
    /// - Parameter name: `nil` for the first.
    func ownHome(_ name: String?) async throws -> NodeID {
        let home = try await onLoop { owner in
            guard let name else { return owner.core.home }
            let match = owner.clusterTable.find(name)
            let found = owner.core.homes.map(\.node).filter { node in
                if node.hex == name.lowercased() { return true }
                guard let cluster = owner.clusterID(of: node) else { return false }
                switch match {
                case .one(let wanted): return cluster == wanted
                // Of several with one name, those that are the user's homes are meant.
                case .several(let wanted): return wanted.contains(cluster)
                case .none: return false
                }
            }
            return found.count == 1 ? found[0] : nil
        }
        guard let home else { throw name.map(AgentFailure.unknownHome) ?? AgentFailure.refused(.notRegistered) }
        return home
    }

    private func registration(
        _ timeout: TimeAmount, _ event: @escaping @Sendable (UInt64) -> AgentEvent
    ) async throws -> RegistrationReport {
        try await request(timeout, event) { request, effect in
            switch effect {
            case .registered(request, let report): .success(report)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
    }

    /// The home server of a cluster; the rest of the map may still be on its way.
    private func homeServer(_ name: String) async throws -> NodeID {
        // The map first, from a bootstrap peer: gateways are chosen when it is known whose cluster they must not be of.
        try await join(usingGateways: false, timeout: .seconds(20))
        for _ in 0..<60 {
            let (match, server) = try await onLoop { owner -> (ClusterTable.Match, NodeID?) in
                let match = owner.clusterTable.find(name)
                guard case .one(let cluster) = match else { return (match, nil) }
                return (match, owner.homeServers(of: cluster).first?.nodeID)
            }
            if let server {
                try await onLoop { $0.refreshMap() }
                return server
            }
            if case .several(let found) = match { throw AgentFailure.ambiguous(name, found) }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw AgentFailure.unknownCluster(name, known: try await onLoop { $0.clusterTable.names })
    }
}
