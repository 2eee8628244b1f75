import Node
import Terminal

/// A node's statement as text.
enum StatusText {
    static func full(_ status: NodeStatus) -> String {
        let server = status.server
        var lines = [
            "\(server.clusterName)  \(server.listen)  \(server.software)",
            "  up \(server.uptimeSeconds) s, \(server.residentKiB / 1024) MiB resident, epoch \(server.epoch)",
            "  map        \(status.map.clusters) clusters, \(status.map.servers) servers; speaks version "
                + "\(status.map.wireVersion)\(links(status.map.links))",
            "  gateway    \(status.gateway.agents) links of agents, \(status.gateway.agentsWithMailbox) with a mailbox; "
                + "\(status.gateway.mailboxes) mailboxes, \(status.gateway.repliesWaiting) replies wait",
            "  mix        received \(status.mix.received), forwarded \(status.mix.forwarded), "
                + "dropped \(status.mix.dropped), replays \(status.mix.replays), holding \(status.mix.waiting)"
                + (status.mix.layer.map { ", layer \($0)" } ?? ""),
            "  home       \(list(status.home.accounts, "accounts")); \(status.home.items) items wait, "
                + "\(status.home.replyBlocks) reply blocks",
            "  directory  \(status.directory.records) records, \(status.directory.contacts) contacts, "
                + "\(status.directory.requests) requests",
        ]
        if let addresses = status.gateway.agentAddresses {
            lines.insert("  TESTBED    lists the addresses of its users: \(list(addresses, "agents", " at"))", at: 1)
        }
        lines.insert(contentsOf: copies(status), at: 1)
        if let snapshot = status.map.snapshot { lines += SnapshotText.lines(snapshot) }
        if let view = status.directory.view { lines += ViewText.lines(view) }
        lines += [
            "  store      \(status.store.usedBytes / 1024) KiB of \(status.store.sizeBytes >> 20) MiB"
        ]
        lines += (status.store.findings ?? []).map { "  DAMAGED    \($0)." }
        lines += troubles(status.store)
        lines += counters(status.counters)
        return lines.joined(separator: "\n")
    }

    /// Who else speaks as this server, and which others speak for its cluster.
    static func copies(_ status: NodeStatus) -> [String] {
        var lines: [String] = []
        if let copy = status.server.copy {
            lines += [
                "  COPIED     a server at \(copy.address) announced itself with this server's key,",
                "             \(copy.secondsAgo) s ago, \(copy.count) within an hour: a copy of the data directory runs",
                "             there. Stop it. If it is not yours, the keys are stolen: make a new server",
                "             (hulda node init in an empty directory) and take this one off.",
            ]
        }
        for sibling in status.map.siblings ?? [] {
            lines.append("  cluster    also has the server \(sibling.server.prefix(16)) at \(sibling.address)")
        }
        if !(status.map.siblings ?? []).isEmpty {
            lines.append("             If you did not set it up, somebody has a copy of cluster.key.")
        }
        return lines
    }

    /// What cannot be written, and what to do.
    static func troubles(_ store: NodeStatus.Store) -> [String] {
        let waiting = store.unpublished ?? 0
        let stored = waiting > 0 ? "; \(waiting) own descriptors wait for it" : ""
        let troubles = [
            (store.trouble, "store", stored), (store.journalTrouble, "journal of envelopes", "; envelopes wait for it"),
            (store.keysTrouble, "next day's mix key", ""),
        ]
        let lines = troubles.compactMap { trouble, name, more in
            trouble.map { "  REFUSED    \(name), for \($0.seconds) s: \($0.reason)\(more)" }
        }
        guard !lines.isEmpty else { return [] }
        return lines + [
            "             It is tried again until it can be written. Free space on the disk, or raise store_mib in",
            "             node.toml and start the node again.",
        ]
    }

    /// What was counted at all, one line each.
    static func counters(_ sums: [String: UInt64]) -> [String] {
        sums.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { "  \($0.key) \($0.value)" }
    }

    /// Links by version, as " (version 1 over 2, version 2 over 5 links)".
    private static func links(_ counts: [String: Int]) -> String {
        guard !counts.isEmpty else { return "" }
        let parts = counts.sorted { $0.key < $1.key }.map { version, count in
            (version == "0" ? "none yet" : "version \(version)") + " over \(count)"
        }
        return " (\(parts.joined(separator: ", ")) links)"
    }

    /// Statements side by side: what each node saw, one line each.
    static func table(_ rows: [(name: String, status: NodeStatus?)]) -> String {
        let header = [
            "node", "as gateway: addresses", "gave the map to", "as mix: in, out, neighbours", "as home: accounts",
            "directory", "MiB",
        ]
        let body = rows.map { row -> [String] in
            guard let status = row.status else { return [row.name, "not running", "", "", "", "", ""] }
            return [
                row.name,
                addresses(status.gateway.agentAddresses), addresses(status.gateway.mapAddresses),
                "\(status.mix.received), \(status.mix.forwarded), \(status.mix.neighbours.count)",
                status.home.accounts.isEmpty
                    ? "none" : status.home.accounts.map { String($0.prefix(12)) + "\u{2026}" }.joined(separator: " "),
                "\(status.directory.records) records",
                "\(status.server.residentKiB / 1024)",
            ]
        }
        return columns([header] + body).joined(separator: "\n")
    }

    private static func addresses(_ list: [String]?) -> String {
        guard let list else { return "not kept" }
        return list.isEmpty ? "none" : list.joined(separator: " ")
    }

    /// Lines in which every column has the width of its longest cell.
    static func columns(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { DisplayWidth.cells($0[column]) }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: width - DisplayWidth.cells(cell))
            }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }

    /// - Parameter link: what stands between the name and the items, if there are any.
    static func list(_ items: [String], _ name: String, _ link: String = "") -> String {
        items.isEmpty ? "no \(name)" : "\(name)\(link) \(items.prefix(8).joined(separator: " "))"
    }
}
