import Federation
import FoundationEssentials
import Node
import Records
import Terminal
import Transport

/// The file of added peers.
struct PeerFile {
    let configuration: NodeConfiguration

    init(_ configuration: NodeConfiguration) { self.configuration = configuration }

    static func parse(_ text: String) throws -> PeerLink {
        do throws(PeerLink.Failure) { return try PeerLink(text: text) } catch {
            throw Failure(
                "this is no peer link: \(error)",
                next: "Copy it as the other operator's hulda node peer show prints it.", code: SysExit.usage)
        }
    }

    func links() throws -> [PeerLink] {
        try NodeFailureText.translate {
            try NodeFiles.list(NodeFiles.peersPath(configuration), isRequired: false)
        }
    }

    /// - Returns: whether a running node has read the list again.
    func write(_ links: [PeerLink]) async throws -> Bool {
        do throws(DurableFile.Failure) {
            try DurableFile.write(BootstrapList(links: links).text, to: NodeFiles.peersPath(configuration))
        } catch {
            throw Failure(
                "\(error.path) cannot be written: \(error.reason)",
                next: "Check free space and that you may write there.", code: SysExit.cantCreate)
        }
        // A node that does not run reads the list when it starts.
        return (try? await NodeClient(configuration).ask(.reload)) != nil
    }

    /// What the file alone says of the peers in it.
    static func unknown(_ links: [PeerLink]) -> NodePeers {
        NodePeers(hasClusterKey: false, peers: links.map { NodePeers.Peer(link: $0, isAdded: true) })
    }
}

/// Which peer an operator means.
enum PeerChoice {
    /// The one added peer that has this link or name, or whose ClusterID begins so.
    static func one(_ question: String, of peers: [NodePeers.Peer]) throws -> NodePeers.Peer {
        let fits = matches(question, peers)
        let added = fits.filter(\.isAdded)
        if added.count == 1, let one = added.first { return one }
        let shown = question.shown
        guard added.isEmpty else {
            let names = added.prefix(8).map { "\(PeerList.title($0)) at \($0.address)" }.joined(separator: ", ")
            throw Failure(
                "\(shown) may be any of \(added.count) peers: \(names)",
                next: "Give more digits of the cluster ID, or the whole link: hulda node peer list --json has both.",
                code: SysExit.usage)
        }
        guard fits.isEmpty else {
            throw Failure(
                "\(shown) was not added: it stands on the bootstrap list",
                next: "Take its line out of the list that node.toml names, then let the server read it: SIGHUP.",
                code: SysExit.noHost)
        }
        throw Failure(
            "there is no peer \(shown)", next: "See who there is: hulda node peer list, with the same --config.",
            code: SysExit.noHost)
    }

    private static func matches(_ question: String, _ peers: [NodePeers.Peer]) -> [NodePeers.Peer] {
        if let link = try? PeerLink(text: question) {
            let same = peers.filter { $0.link == link.text }
            // One cluster's server may have moved since.
            return same.isEmpty ? peers.filter { $0.cluster == link.clusterID.bytes.hex } : same
        }
        let named = peers.filter { $0.name == question }
        guard named.isEmpty else { return named }
        let digits = question.lowercased()
        guard digits.count >= 4, digits.allSatisfy(\.isHexDigit) else { return [] }
        return peers.filter { $0.cluster.hasPrefix(digits) }
    }
}

/// Peers as a table.
enum PeerList {
    static func text(_ known: NodePeers) -> String {
        guard !known.peers.isEmpty else {
            return "No peers. Add one: hulda node peer add LINK, with the same --config."
        }
        let rows = known.peers.map { peer in
            [
                cut(peer.name.map(\.shown) ?? "?", 16), String(peer.cluster.prefix(12)), peer.address,
                link(peer.contact), endorsed(peer),
            ]
        }
        var lines = StatusText.columns([["name", "cluster ID", "address", "link", "endorsed"]] + rows)
        lines += known.peers.compactMap { peer in
            guard peer.contact?.isLinked == false, let failure = peer.contact?.failure else { return nil }
            return "\(title(peer)): \(failure.shown)"
        }
        return lines.joined(separator: "\n")
    }

    /// What a peer is called in a sentence.
    static func title(_ peer: NodePeers.Peer) -> String {
        let short = String(peer.cluster.prefix(12))
        return peer.name.map { "\($0.shown) (\(short))" } ?? "cluster \(short)"
    }

    private static func link(_ contact: NodePeers.Contact?) -> String {
        guard let contact else { return "?" }
        let time = contact.seconds.map(StatusText.duration)
        return contact.isLinked ? "up \(time ?? "")" : time.map { "down \($0)" } ?? "none"
    }

    private static func endorsed(_ peer: NodePeers.Peer) -> String {
        switch (peer.isEndorsed, peer.endorsesBack) {
        case (true, true): "both"
        case (true, false): "by us"
        case (false, true): "by them"
        case (false, false): peer.contact == nil ? "?" : "no"
        }
    }

    private static func cut(_ text: String, _ width: Int) -> String {
        text.count <= width ? text : text.prefix(width - 1) + "\u{2026}"
    }
}

/// What came of adding a peer.
struct PeerReport: Encodable {
    let added: String
    let cluster: String
    let name: String?
    let running: Bool
    let isNew: Bool
    /// Whether the own cluster endorses it, or will when the server starts.
    let endorsed: Bool
    let endorsesBack: Bool

    private let peer: NodePeers.Peer

    private enum CodingKeys: CodingKey { case added, cluster, name, running, isNew, endorsed, endorsesBack }

    init(
        _ link: PeerLink, isNew: Bool, isRunning: Bool, _ known: NodePeers?, _ configuration: NodeConfiguration
    ) {
        peer = known?.peers.first { $0.link == link.text } ?? NodePeers.Peer(link: link, isAdded: true)
        added = link.text
        cluster = peer.cluster
        name = peer.name
        running = isRunning
        self.isNew = isNew
        endorsesBack = peer.endorsesBack
        // A server that does not run signs when it starts, if it has the key then.
        let keyPath = configuration.dataDirectory + "/cluster.key"
        endorsed = peer.isEndorsed || known?.hasClusterKey ?? FileManager.default.fileExists(atPath: keyPath)
    }

    var title: String { PeerList.title(peer) }

    func text(own: String) -> String {
        var lines = [
            "\(isNew ? "Added" : "Already a peer:") \(title), \(peer.address).",
            "It is a trust root of this server: clusters that it endorses can come onto the map.",
        ]
        if !running { lines.append("The server does not run; it reads the list when it starts.") }
        if endorsesBack {
            lines.append("The other side has added this cluster as well\(endorsed ? ": the peering is mutual." : ".")")
        } else {
            let state =
                running
                ? "This server has not heard that the other side has added this cluster; hulda node peer list shows it.\n"
                : ""
            lines.append("\(state)Next, if it has not: the other operator adds your link:\n\(own)")
        }
        return lines.joined(separator: "\n")
    }
}
