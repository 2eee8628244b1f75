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

    @Test("says who has answered")
    func trust() {
        let trusted = ViewText.text(
            view(
                true,
                [
                    "bootstrapList": .init(named: 3, answered: 2), "knownServers": .init(named: 1, answered: 1),
                    "lastRun": .init(named: 0, answered: 0),
                ]))
        #expect(trusted == "trusted; answered: 2 of 3 of the bootstrap list, 1 of 1 of known_servers")
        #expect(
            ViewText.text(view(false, ["bootstrapList": .init(named: 0, answered: 0)]))
                == "not trusted: no server to begin with")
        #expect(
            ViewText.text(view(false, ["addedPeers": .init(named: 2, answered: 0)]))
                == "not trusted; answered: 0 of 2 of added peers")
    }

    @Test("says who signed which snapshot")
    func snapshots() {
        var report = SnapshotReport(epoch: 20_000, own: nil, judgement: .undecided, signed: [], contradicting: 0)
        #expect(SnapshotText.text(report).hasPrefix("no cluster has signed one of today yet"))
        let root = String(repeating: "ab", count: 32)
        report.own = root
        report.judgement = .agreed
        report.signed = [.init(root: root, entries: 12, clusters: 6)]
        #expect(
            SnapshotText.text(report)
                == "agreed: 6 signed abababababababab… of 12 entries; its own is abababababababab…")
        report.judgement = .contested
        report.signed.append(.init(root: String(repeating: "0f", count: 32), entries: 1, clusters: 2))
        report.contradicting = 1
        let text = SnapshotText.text(report)
        #expect(text.contains("2 signed 0f0f0f0f0f0f0f0f… of 1 entry"))
        #expect(text.contains("clusters that signed two: 1, see the folder evidence"))
    }
}
