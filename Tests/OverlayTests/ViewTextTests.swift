import Directory
import Federation
import Testing

@testable import Node
@testable import hulda

@Suite("What an operator is told of the view")
struct ViewTextTests {
    private func view(
        _ isTrusted: Bool, _ sources: [String: NodeStatus.View.Source], _ alarms: [NodeStatus.View.Alarm] = []
    ) -> NodeStatus.View {
        NodeStatus.View(isTrusted: isTrusted, sources: sources, unrelated: 0, alarms: alarms)
    }

    @Test("says who has answered, and what to do while that is not enough")
    func trust() {
        let trusted = ViewText.lines(
            view(
                true,
                [
                    "bundled": .init(named: 3, answered: 2), "manual": .init(named: 1, answered: 1),
                    "anchors": .init(named: 0, answered: 0),
                ]))
        #expect(trusted == ["  view       trusted; answered: 2 of 3 of the bootstrap list, 1 of 1 of known_servers"])
        let alone = ViewText.lines(view(false, ["bundled": .init(named: 0, answered: 0)]))
        #expect(alone.first == "  view       not trusted: no server to begin with")
        let silent = ViewText.lines(view(false, ["invitation": .init(named: 2, answered: 0)]))
        #expect(silent.first == "  view       not trusted; answered: 0 of 2 of added peers")
        for lines in [alone, silent] { #expect(lines.contains { $0.contains("hulda node peer add LINK") }) }
    }

    @Test("says who signed which snapshot, and what to do when it is not the own one")
    func snapshots() {
        var report = SnapshotReport(epoch: 20_000, own: nil, judgement: .undecided, signed: [], contradicting: 0)
        #expect(SnapshotText.lines(report) == ["  snapshot   nobody signed one of today that this node heard of"])
        let root = String(repeating: "ab", count: 32)
        report.own = root
        report.judgement = .agreed
        report.signed = [.init(root: root, entries: 12, clusters: 6)]
        #expect(
            SnapshotText.lines(report) == [
                "  snapshot   agreed: 6 signed abababababababab…, 12 entries; own abababababababab…"
            ])
        report.judgement = .contested
        report.signed.append(.init(root: String(repeating: "0f", count: 32), entries: 10, clusters: 2))
        report.contradicting = 1
        let lines = SnapshotText.lines(report)
        #expect(lines.first?.contains("2 signed 0f0f0f0f0f0f0f0f…, 10 entries") == true)
        for words in ["signed two: 1", "hulda node map --prove", "hulda audit membership"] {
            #expect(lines.contains { $0.contains(words) })
        }
    }

    @Test("says what cannot be written, and nothing while all can be")
    func troubles() {
        var store = NodeStatus.Store(usedBytes: 1, sizeBytes: 2, unpublished: 0)
        #expect(StatusText.troubles(store).isEmpty)
        store.trouble = .init(seconds: 7, reason: "no space")
        store.unpublished = 2
        store.keysTrouble = .init(seconds: 8, reason: "no room")
        let lines = StatusText.troubles(store)
        #expect(lines.first == "  REFUSED    store, for 7 s: no space; 2 own descriptors wait for it")
        #expect(lines.dropFirst().first == "  REFUSED    next day's mix key, for 8 s: no room")
        #expect(lines.last?.contains("node.toml") == true)
    }

    @Test("shows every kind of alarm as long as it holds, with what to do")
    func alarms() {
        for kind in EclipseWatch.Alarm.Kind.allCases {
            let alarm = NodeStatus.View.Alarm(kind: kind.rawValue, detail: "something was seen", secondsLeft: 119)
            let lines = ViewText.lines(view(true, [:], [alarm]))
            #expect(lines[1] == "  ALARM      something was seen; holds for 2 min more")
            #expect(lines.count >= 4 && lines.allSatisfy { $0.count <= 120 }, "\(lines)")
        }
    }
}
