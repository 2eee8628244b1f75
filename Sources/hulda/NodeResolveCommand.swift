import ArgumentParser
import Directory
import Node
import Records
import Terminal

extension NodeCommand {
    struct Resolve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Look a network ID up from the running server, without envelopes: which holders have its record.",
            discussion: """
                For an operator who wants to know why somebody cannot be reached. The server asks all holders at once \
                over UDP, and searches without the map when none has the record. Shown is what the ID opens of the \
                record, and what each holder sent, how fast.

                This is not private: the holders learn that this server asks for the day's key of this ID, whoever \
                watches its line sees which holders it asks, and can tell from that whose record it is when the ID is \
                known there; and your server learns the ID. Users' agents ask in envelopes only: hulda resolve does, and takes friendly \
                addresses too.

                Exit codes: 68 nobody publishes this ID, 75 no answer that can be believed, 69 the server does not run.

                Example: hulda node resolve hulda1… --config /var/lib/hulda/node.toml
                """)

        @Argument(help: "A network ID or link.")
        var id: String
        @OptionGroup var config: ConfigOption
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await output.run {
                guard !self.id.contains("@") || self.id.hasPrefix(UserLink.scheme) else {
                    throw Failure(
                        "a server looks up network IDs only, and \(self.id) is a friendly address",
                        next: "An agent finds its ID: hulda resolve \(self.id)", code: SysExit.usage)
                }
                let id = try parseID(self.id)
                let resolution = try await NodeClient(try ConfigurationFile.read(config.path)).resolve(id)
                output.print(resolution) { ResolutionText.full(resolution) }
                if let failure = ResolutionText.failure(resolution) { throw failure }
            }
        }
    }
}

/// What a node found by a direct lookup, for people.
enum ResolutionText {
    static func full(_ resolution: NodeResolution) -> String {
        let rule =
            resolution.judgedByTimes
            ? "answers that were due by earlier times" : "three holders in four: how fast they answer is not known yet"
        let judged = resolution.result == .found ? "; waited for \(rule)" : ""
        var lines = [
            resolution.id, "  result     \(result(resolution)) after \(resolution.milliseconds) ms\(judged)",
        ]
        if let record = resolution.record {
            let age = record.ageSeconds.map { ", published \(StatusText.duration($0)) ago" } ?? ""
            lines.append(
                "  record     sequence \(record.sequence)\(age), valid until \(LocalTime.text(record.expiry))")
            lines += record.homes.map { "  home       \(name($0)), server \($0.server.prefix(16))" }
            lines.append("  introduction policy: \(record.isOpen ? "open" : "restricted")")
        }
        let answers = LookupReport.Answer.allCases.compactMap { answer in
            resolution.answers[answer.rawValue].flatMap { $0 > 0 ? "\($0) \(words(answer))" : nil }
        }
        lines.append("  holders    \(resolution.holders.count): \(answers.joined(separator: ", "))")
        guard !resolution.holders.isEmpty else { return lines.joined(separator: "\n") }
        let rows = resolution.holders.map { holder in
            [
                "\(holder.ring)", String(holder.place.server.prefix(16)), name(holder.place), holder.answer.rawValue,
                holder.milliseconds.map { "\($0)" } ?? "", holder.sequence.map { "\($0)" } ?? "",
            ]
        }
        return (lines + StatusText.columns([["ring", "server", "cluster", "answer", "ms", "sequence"]] + rows))
            .joined(separator: "\n")
    }

    /// What went wrong and what to do, unless the record was found.
    static func failure(_ resolution: NodeResolution) -> Failure? {
        let all = resolution.holders.count
        let silent = resolution.answers[LookupReport.Answer.silent.rawValue] ?? 0
        switch resolution.result {
        case .found: return nil
        case .missing:
            let signed = resolution.answers[LookupReport.Answer.missing.rawValue] ?? 0
            return Failure(
                "nobody publishes this ID today: \(signed) of \(all) holders signed that they have no record",
                next: "Its owner's agent publishes the record whenever it runs: ask for hulda inbox there, then again.",
                code: SysExit.noHost)
        case .unanswered where !resolution.knowsPlaces:
            return Failure(
                "no record was found, and this node does not know the day's shared random value: it may have asked "
                    + "others than the holders",
                next: "It asks other clusters for the value by itself: try again in some minutes.",
                code: SysExit.temporary)
        case .unanswered:
            return Failure(
                "no record was found, and too few of \(all) holders signed that they have none; \(silent) were silent",
                next: "Try again. If it stays so, see whether UDP gets out and who is on the map: hulda node status "
                    + "and hulda node map, with the same --config.",
                code: SysExit.temporary)
        }
    }

    private static func result(_ resolution: NodeResolution) -> String {
        let hops = resolution.hops == 1 ? "in one round trip" : "in \(resolution.hops) round trips"
        switch resolution.result {
        case .found:
            return resolution.usedSearch ? "found \(hops), by a search without the map" : "found \(hops)"
        case .missing: return "missing"
        case .unanswered: return "unanswered"
        }
    }

    private static func words(_ answer: LookupReport.Answer) -> String {
        switch answer {
        case .record: "sent the record"
        case .older: "sent an older one"
        case .newer: "sent a newer one, too late"
        case .missing: "signed that they have none"
        case .unsigned: "said that they have none, unsigned"
        case .refused: "refused"
        case .invalid: "sent a record that is not valid"
        case .silent: "did not answer"
        }
    }

    private static func name(_ place: NodeResolution.Place) -> String {
        place.clusterName.map(\.shown) ?? place.cluster.map { String($0.prefix(16)) } ?? "not on the map"
    }
}
