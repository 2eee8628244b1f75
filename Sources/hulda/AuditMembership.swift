import ArgumentParser
import Federation
import FoundationEssentials
import Node
import Primitives
import Records
import Transport

extension AuditCommand {
    struct Membership: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check proofs that a cluster or server is in the map that clusters signed, and compare them.",
            discussion: """
                Operators write such files with hulda node map --prove. The check needs no network, no map and no keys. \
                Get one about anybody from each of several nodes on the same day, and give them all at once: files of one \
                day that rest on different snapshots show that those nodes do not have the same map. A cluster that \
                signed both contradicts itself; --evidence writes that as a file for hulda audit evidence.

                Anybody can make keys and sign anything with them. So hold the files against clusters that you know: \
                --bootstrap marks the signers on your list, by what its line says after a # or by the address.

                What is proved and what is not: specs/map.md, "Membership". Exit codes: 0 all files hold and files of \
                one day show one snapshot, 65 a file proves nothing, 66 one cannot be read, 76 different snapshots.

                Example: hulda audit membership a.membership b.membership --bootstrap bootstrap.txt
                """)

        @Argument(help: ArgumentHelp("The files.", valueName: "file"))
        var files: [String]
        @Option(help: ArgumentHelp("A bootstrap list of clusters that you know.", valueName: "file"))
        var bootstrap: String?
        @Option(help: ArgumentHelp("Where to write evidence of contradictions.", valueName: "directory"))
        var evidence: String?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                let known = try bootstrap.map { try KnownClusters($0) }
                var proofs: [SnapshotMembership] = []
                for path in files {
                    let proof = try Membership.check(path)
                    let trusted = known.map { known in proof.roots.count { known.names[$0.clusterID] != nil } }
                    if trusted == 0 {
                        throw Failure(
                            "\(path) proves nothing to you: no cluster of \(bootstrap ?? "") signed it",
                            next: "Anybody can make clusters that sign. Ask an operator whom you know for such a file.",
                            code: SysExit.data)
                    }
                    output.print(MembershipRow(file: path, proof, known)) {
                        MembershipText.full(path, proof, known)
                    }
                    proofs.append(proof)
                }
                try compare(proofs)
            }
        }

        private static func check(_ path: String) throws -> SnapshotMembership {
            let bytes = try AuditCommand.read(path, limit: SnapshotMembership.sizeLimit)
            do throws(SnapshotMembership.Failure) {
                let proof = try SnapshotMembership(decoding: bytes)
                try proof.verify()
                return proof
            } catch {
                throw Failure(
                    "\(path) proves nothing: \(MembershipText.reason(error))",
                    next: "Ask whoever gave it to you for the file as hulda node map --prove wrote it.",
                    code: SysExit.data)
            }
        }

        private func compare(_ proofs: [SnapshotMembership]) throws {
            let comparison = MembershipComparison(proofs)
            guard proofs.count > 1 else { return }
            output.print(ComparisonRow(comparison, files)) { MembershipText.comparison(comparison, files) }
            if let evidence { try write(comparison.evidence, to: evidence) }
            guard comparison.isDivided else { return }
            throw Failure(
                "these nodes did not have the same map",
                next: comparison.evidence.isEmpty
                    ? "No cluster signed both: ask each node's operator for hulda node map --json, and compare them."
                    : evidence.map { "What clusters signed against each other is in \($0)." }
                        ?? "Add --evidence DIRECTORY to write what proves that a cluster signed both.",
                code: SysExit.protocolError)
        }

        private func write(_ evidence: [EquivocationEvidence], to folder: String) throws {
            for piece in evidence {
                let path = "\(folder)/\(piece.fileName)"
                do throws(DurableFile.Failure) { try DurableFile.write(piece.encode(), to: path, mode: 0o644) } catch {
                    throw Failure(
                        "\(path) cannot be written: \(error.reason)",
                        next: "Check that the directory is there and that you may write in it.",
                        code: SysExit.cantCreate)
                }
            }
        }
    }
}

/// The clusters of a bootstrap list, by what its reader calls them: the comment on the line, else the address.
struct KnownClusters {
    private(set) var names: [VerifyingKey: String] = [:]

    init(_ path: String) throws {
        // The list as such, with its errors and bounds.
        let links = try NodeFailureText.translate { try NodeFiles.list(path, isRequired: true) }
        var comments: [String: String] = [:]
        let text = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: "#", maxSplits: 1)
            guard parts.count == 2 else { continue }
            comments[parts[0].filter { !$0.isWhitespace }] = parts[1].split(separator: " ").joined(separator: " ")
        }
        for link in links where names[link.clusterID] == nil {
            let comment = comments[link.text].flatMap { $0.isEmpty ? nil : $0 }
            names[link.clusterID] = comment ?? "\(link.host):\(link.port)"
        }
    }
}

/// A proof of membership as JSON.
struct MembershipRow: Encodable {
    let file: String
    let holds = true
    /// `cluster` or `server`.
    let kind: String
    /// ClusterID or ServerID, and whose server it is.
    let subject: String
    let cluster: String
    let linkKey: String?
    let epoch: UInt64
    let root: String
    let entries: UInt32
    let signers: [String]
    /// How many of them are on the bootstrap list, and what it calls them by ClusterID; missing where none was given.
    let signersKnown: Int?
    let signersNamed: [String: String]?

    enum CodingKeys: CodingKey {
        case file, holds, kind, subject, cluster, linkKey, epoch, root, entries, signers, signersKnown, signersNamed
    }

    init(file: String, _ proof: SnapshotMembership, _ known: KnownClusters? = nil) {
        self.file = file
        switch proof.leaf {
        case .cluster(let id): (kind, subject, cluster, linkKey) = ("cluster", id.bytes.hex, id.bytes.hex, nil)
        case .server(let id, let cluster, let key):
            (kind, subject, self.cluster, linkKey) = ("server", id.bytes.hex, cluster.bytes.hex, key.bytes.hex)
        }
        epoch = proof.epoch
        root = proof.statement.root.hex
        entries = proof.statement.count
        signers = proof.roots.map(\.clusterID.bytes.hex)
        signersNamed = known.map { known in
            Dictionary(
                proof.roots.compactMap { root in known.names[root.clusterID].map { (root.clusterID.bytes.hex, $0) } },
                uniquingKeysWith: { first, _ in first })
        }
        signersKnown = signersNamed?.count
    }
}

/// What several files show beside each other, as JSON.
private struct ComparisonRow: Encodable {
    struct View: Encodable {
        let epoch: UInt64
        let root: String
        let entries: UInt32
        let files: [String]
        let signers: [String]
    }

    let isDivided: Bool
    let snapshots: [View]
    /// ClusterIDs of those who signed different snapshots of one epoch.
    let contradicting: [String]

    init(_ comparison: MembershipComparison, _ files: [String]) {
        isDivided = comparison.isDivided
        snapshots = comparison.views.map { view in
            View(
                epoch: view.epoch, root: view.statement.root.hex, entries: view.statement.count,
                files: view.files.map { files[$0] }, signers: view.clusters.map(\.bytes.hex))
        }
        contradicting = comparison.evidence.map(\.clusterID.bytes.hex)
    }
}
