import Primitives
import Records
import Wire

/// Why a map gives no proof of membership.
public enum MembershipRefusal: String, Codable, Error, Sendable {
    /// No snapshot that this map can show was signed by anybody.
    case noSnapshot
    /// Nobody on the map is called so.
    case unknown
    /// Several are.
    case ambiguous
    /// It is on the map, and not in the snapshot: it came after the epoch had begun, or has changed its link key since.
    case notIncluded
}

/// Proofs for others of what stood in a snapshot (specs/map.md, "Membership").
extension MapCore {
    /// A proof that a cluster or server stood in the last snapshot that this map has, with the roots of all whom it
    /// heard sign the same.
    ///
    /// It takes a pass over the map, so it is for the operator.
    /// - Parameter question: a cluster's name, or the beginning of a ClusterID, ServerID or node ID, eight digits at least.
    public func membership(
        of question: String, at now: Timestamp
    ) throws(MembershipRefusal) -> SnapshotMembership {
        let subject = try subject(question)
        guard let leaf = subject.leaf else { throw .notIncluded }
        var refusal = MembershipRefusal.noSnapshot
        for isTaken in [true, false] {
            let (epoch, hashes) = isTaken ? snapshots.own.map { ($0.epoch, $0.hashes) } ?? (0, []) : late(at: now)
            let levels = SnapshotTree.levels(over: hashes)
            guard let root = levels.last?.first else { continue }
            let statement = SnapshotComparison.Statement(root: root, count: UInt32(truncatingIfNeeded: hashes.count))
            let roots = snapshots.book.roots(epoch).filter { statement == .init(root: $0.root, count: $0.count) }
            guard !roots.isEmpty else { continue }
            refusal = .notIncluded
            guard let proof = SnapshotTree.proof(of: leaf.hash, in: levels) else { continue }
            let limited = Array(roots.prefix(SnapshotMembership.rootLimit))
            if let made = try? SnapshotMembership(subject, proof, limited) { return made }
        }
        throw refusal
    }

    /// The leaves of a map that was not there when the epoch began.
    private func late(at now: Timestamp) -> (epoch: UInt64, hashes: [Bytes32]) {
        (now.epoch, lateSnapshot(at: now).levels.first ?? [])
    }

    /// The one cluster of that name; else the one cluster or server whose key or node ID begins so.
    private func subject(_ question: String) throws(MembershipRefusal) -> MapDescriptor {
        let digits = question.lowercased()
        var found: [MapDescriptor] = []
        for cluster in eachCluster where !question.isEmpty && cluster.name == question {
            found.append(.cluster(cluster))
        }
        if found.isEmpty, digits.utf8.count >= MapCore.leastDigits {
            for cluster in eachCluster where cluster.clusterID.bytes.hex.hasPrefix(digits) {
                found.append(.cluster(cluster))
            }
            let servers = held.identifiers { $0.isServer }.filter { id in
                guard let glance = held.glance(id) else { return false }
                return glance.serverID.bytes.hex.hasPrefix(digits)
                    || Node.id(of: glance.serverID).hex.hasPrefix(digits)
            }
            found += servers.prefix(2).compactMap { held[$0] }
        }
        guard let subject = found.first else { throw .unknown }
        guard found.count == 1 else { throw .ambiguous }
        return subject
    }

    private static let leastDigits = 8
}
