import Correspondence
import Federation
import NIOCore
import Primitives
import Records

/// Friendly addresses: having one, and finding out where one leads.
extension AgentRuntime {
    /// A friendly address that was looked up.
    public struct ResolvedName: Sendable {
        public enum Standing: Sendable, Equatable {
            /// Seen for the first time: this ID is expected from now on.
            case new
            /// It leads where it led before.
            case known
            /// It led to another ID before.
            case changed(from: NetworkID)
            /// It leads nowhere now; this is the ID that it led to.
            case remembered
        }

        public let id: NetworkID
        public let cluster: VerifyingKey
        public let standing: Standing
    }

    /// A name at a home that is left, and the same at the new one if that gives it.
    public struct MovedName: Sendable {
        public let old: String
        public let new: String?
    }

    /// Asks a home for a name, and publishes its record.
    /// - Parameter home: one of the user's homes; `nil` for the first.
    /// - Returns: the friendly address.
    public func claimName(_ name: String, home: String?, timeout: TimeAmount) async throws -> String {
        let node = try await ownHome(home)
        try await connect(timeout: min(timeout, .seconds(20)))
        guard let server = try await onLoop({ $0.server(node) }) else { throw AgentFailure.unknownHome(home ?? "") }
        let secret = try AgentRuntime.secret(name, server.serverID)
        let granted = try await request(timeout) {
            .claimName(name, secret, request: $0)
        } outcome: { request, effect -> Result<String, AgentFailure>? in
            switch effect {
            case .named(request, let name): .success(name)
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
        try await writeNames()
        return try await onLoop { "\(granted)@\($0.clusterText(server.clusterID))" }
    }

    /// Asks the home that the user has moved to for the names that he has at homes that he leaves.
    public func moveNames(to home: String, timeout: TimeAmount) async throws -> [MovedName] {
        let node = try await ownHome(home)
        let names = try await onLoop { owner in
            let left = Set(owner.core.homes.filter { $0.stage == .leaving }.map(\.node))
            let here = Set(owner.core.ownNames.filter { $0.home == node }.map(\.name))
            return owner.core.ownNames.filter { left.contains($0.home) && !here.contains($0.name) }
                .map { (name: $0.name, old: "\($0.name)@\(owner.clusterText(of: $0.home))") }
        }
        let deadline = NIODeadline.now() + timeout
        var moved: [MovedName] = []
        for (name, old) in names {
            var new: String?
            do {
                new = try await claimName(name, home: home, timeout: max(.seconds(5), deadline - .now()))
            } catch AgentFailure.refused, AgentFailure.timedOut {
                // Somebody else has it there, or the home gives none: the user chooses another.
            }
            moved.append(MovedName(old: old, new: new))
        }
        return moved
    }

    /// Gives a name up.
    public func releaseName(_ name: String, home: String?, timeout: TimeAmount) async throws {
        let node = try await ownHome(home)
        try await connect(timeout: min(timeout, .seconds(20)))
        try await request(timeout) {
            .releaseName(name, home: node, request: $0)
        } outcome: { request, effect -> Result<Void, AgentFailure>? in
            switch effect {
            case .nameReleased(request, _): .success(())
            case .failed(request, let error): .failure(.refused(error))
            default: nil
            }
        }
        try await writeNames()
    }

    /// Looks a friendly address up: at each home server of the cluster until one has it. When none has, the ID to which
    /// it led before still stands for its owner, who may have left the home that gave it.
    /// - Parameter accepts: whether another ID than at the first time is expected from now on.
    public func resolveName(
        _ address: FriendlyName, accepts: Bool, timeout: TimeAmount
    ) async throws -> ResolvedName {
        try await connect(timeout: min(timeout, .seconds(20)))
        let cluster = try await cluster(called: address.cluster)
        let servers = try await onLoop { $0.homeServers(of: cluster) }
        var failure = AgentFailure.unknownCluster(address.cluster, known: [])
        for server in servers {
            let secret = try AgentRuntime.secret(address.name, server.serverID)
            let query = NameQuery(name: address.name, cluster: cluster, secret: secret, accepts: accepts)
            do {
                let report = try await request(timeout) {
                    .resolveName(query, request: $0)
                } outcome: { request, effect -> Result<NameReport, AgentFailure>? in
                    switch effect {
                    case .nameResolved(request, let report): .success(report)
                    case .failed(request, .notFound): .failure(.unknownName(address.description))
                    case .failed(request, let error): .failure(.refused(error))
                    default: nil
                    }
                }
                let standing: ResolvedName.Standing =
                    report.expected.map { .changed(from: $0) } ?? (report.isNew ? .new : .known)
                return ResolvedName(id: report.id, cluster: cluster, standing: standing)
            } catch let error as AgentFailure {
                failure = error
            }
        }
        if case .unknownName = failure {
            let known = try await onLoop {
                try AgentCore.rememberedID(of: address.name, at: cluster, $0.store)
            }
            if let known { return ResolvedName(id: known, cluster: cluster, standing: .remembered) }
        }
        throw failure
    }

    private static func secret(_ name: String, _ server: VerifyingKey) throws(AgentFailure) -> NameSecret {
        do { return try NameSecret(name: name, server: server) } catch { throw .outOfMemory }
    }

    /// The one cluster of this name, or with this ID; the rest of the map may still be on its way.
    private func cluster(called text: String) async throws -> VerifyingKey {
        if let id = try ClusterText.decode(text) { return id }
        for _ in 0..<60 {
            switch try await onLoop({ $0.clusterTable.find(text) }) {
            case .one(let id): return id
            case .several(let found): throw AgentFailure.ambiguous(text, found)
            case .none: try await Task.sleep(for: .milliseconds(50))
            }
        }
        throw AgentFailure.unknownCluster(text, known: try await onLoop { $0.clusterTable.names })
    }

    /// A name that was given up, or lost, in the background is shown no longer.
    func refreshNames() async {
        guard let (directory, count) = try? await onLoop({ ($0.directory, $0.core.ownNames.count) }),
            let shown = try? AgentRuntime.names(directory: directory), shown.count != count
        else { return }
        try? await writeNames()
    }

    /// The names for `hulda id show`, which opens no store: they are as public as the ID.
    private func writeNames() async throws {
        let (directory, names) = try await onLoop { owner in
            (owner.directory, owner.core.ownNames.map { "\($0.name)@\(owner.clusterText(of: $0.home))" })
        }
        let files = AgentFiles(directory: directory)
        try files.write(names.map { $0 + "\n" }.joined(), to: files.namesPath)
    }

    /// The friendly addresses of the identity in `directory`; needs no passphrase.
    public static func names(directory: String) throws(AgentFailure) -> [String] {
        try AgentFiles(directory: directory).readNames()
    }
}
