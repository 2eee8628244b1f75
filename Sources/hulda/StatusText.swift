import Node
import Terminal

/// A node's statement as text, no wider than a small terminal.
enum StatusText {
    static let width = 80
    private static let indent = "             "

    /// - Parameters:
    ///   - counters: whether all that was counted is listed.
    ///   - accounts: whether the accounts are.
    static func full(_ status: NodeStatus, counters: Bool = false, accounts: Bool = false) -> String {
        var lines = verdict(status) + sections(status).flatMap { section($0.name, $0.text) }
        if accounts { lines += ["accounts"] + status.home.accounts.map { "  \($0)" } }
        let left = status.home.accountsTotal - status.home.accounts.count
        if accounts, left > 0 { lines.append("  and \(left) more") }
        if counters { lines += ["counters"] + StatusText.counters(status.counters) }
        return lines.joined(separator: "\n")
    }

    /// The state, why, and what to do; the worst first.
    static func verdict(_ status: NodeStatus) -> [String] {
        let findings = status.verdict.findings
        guard !findings.isEmpty else {
            return wrapped(
                "\(count(status.map.usableClusters, "cluster")) on the map, links with "
                    + count(status.map.linkedServers, "server"), first: "healthy: ", rest: "  ")
        }
        return findings.flatMap(finding)
    }

    static func finding(_ finding: NodeVerdict.Finding) -> [String] {
        wrapped(ForeignText.inline(finding.what, limit: 1000), first: "\(word(finding.state)): ", rest: "  ")
            + wrapped(ForeignText.inline(finding.next, limit: 1000), first: "  Do: ", rest: "      ")
    }

    private static func word(_ state: NodeVerdict.State) -> String {
        state == .unusable ? "not usable" : state.rawValue
    }

    private static func sections(_ status: NodeStatus) -> [(name: String, text: String)] {
        let (server, map, mix, home) = (status.server, status.map, status.mix, status.home)
        let keys = status.keys
        let need =
            map.usableClusters < map.neededClusters
            ? "\(map.usableClusters) of \(map.neededClusters) clusters needed for a message path"
            : "\(count(map.usableClusters, "cluster")) that paths can use (\(map.neededClusters) are needed)"
        let key = keys.hasClusterKey ? "cluster.key is here" : "cluster.key is elsewhere: no new peerings"
        var sections = [
            (
                "server",
                "\(server.clusterName.shown), \(server.listen), \(server.software), "
                    + "up \(duration(server.uptimeSeconds)), \(server.residentKiB / 1024) MiB, epoch \(server.epoch)"
            ),
            (
                "keys",
                "certificate until \(LocalTime.text(keys.certificateEnd)), "
                    + "\(keys.certificateSecondsLeft / 86_400) days; \(key)"
            ),
            (
                "map",
                "\(count(map.clusters, "cluster")) and \(count(map.servers, "server")) known; \(need); "
                    + "links with \(count(map.linkedServers, "server")); gossip version \(map.wireVersion)"
                    + links(map.links)
            ),
        ]
        if let addresses = status.gateway.agentAddresses {
            sections.append(("TESTBED", "lists the addresses of its users: \(list(addresses, "agents", " at"))"))
        }
        if let snapshot = map.snapshot { sections.append(("snapshot", SnapshotText.text(snapshot))) }
        if let view = status.directory.view { sections.append(("view", ViewText.text(view))) }
        sections += [
            (
                "gateway",
                "\(count(status.gateway.agents, "link")) of agents, \(status.gateway.agentsWithMailbox) with a mailbox; "
                    + "\(count(status.gateway.mailboxes, "mailbox", "mailboxes")), "
                    + "\(count(status.gateway.repliesWaiting, "reply", "replies")) wait"
            ),
            (
                "mix",
                "received \(mix.received), forwarded \(mix.forwarded), dropped \(mix.dropped), replays "
                    + "\(mix.replays), holding \(mix.waiting)" + (mix.layer.map { ", layer \($0)" } ?? "")
            ),
            (
                "home",
                "\(count(home.accountsTotal, "account")); \(count(home.items, "item")) wait, "
                    + count(home.replyBlocks, "reply block")
            ),
            (
                "directory",
                "\(count(status.directory.records, "record")), "
                    + "\(count(status.directory.contacts, "contact")), \(count(Int(clamping: status.directory.requests), "request"))"
            ),
            ("store", "\(status.store.usedBytes / 1024) KiB of \(status.store.sizeBytes >> 20) MiB"),
        ]
        return sections
    }

    /// A section's name and its text, in lines.
    private static func section(_ name: String, _ text: String) -> [String] {
        wrapped(text, first: "  " + name + String(repeating: " ", count: max(1, 11 - name.count)), rest: indent)
    }

    /// Words in lines of at most ``width`` characters; a word that is longer has a line of its own.
    static func wrapped(_ text: String, first: String, rest: String) -> [String] {
        var lines: [String] = []
        var line = first
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, DisplayWidth.cells(line) + 1 + DisplayWidth.cells(String(word)) > width {
                lines.append(line)
                (line, isEmpty) = (rest, true)
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return lines + [line]
    }

    static func count(_ number: Int, _ one: String, _ many: String? = nil) -> String {
        number == 1 ? "1 \(one)" : "\(number) \(many ?? one + "s")"
    }

    static func duration(_ seconds: UInt64) -> String {
        switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: "\(seconds / 86_400) days"
        }
    }

    /// What was counted at all, one line each.
    static func counters(_ sums: [String: UInt64]) -> [String] {
        sums.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { "  \($0.key) \($0.value)" }
    }

    /// Links by the version of gossip spoken over them, as " (version 2 over 5 links)".
    private static func links(_ counts: [String: Int]) -> String {
        guard !counts.isEmpty else { return "" }
        let parts = counts.sorted { $0.key < $1.key }.map { version, count in
            (version == "0" ? "none yet" : "version \(version)") + " over \(StatusText.count(count, "link"))"
        }
        return " (\(parts.joined(separator: ", ")))"
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
