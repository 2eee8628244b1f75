import Directory
import Federation
import Foundation
import Primitives
import Testing
import Wire

@testable import Node

@Suite("The verdict on a node")
struct NodeVerdictTests {
    /// A server that is well, in a network that is.
    private var well: NodeStatus {
        var status = NodeStatus(
            server: .init(
                cluster: "00", clusterName: "one", server: "00", listen: "192.0.2.1:7411", software: "hulda",
                uptimeSeconds: 3600, residentKiB: 1024, epoch: 20_000),
            keys: .init(hasClusterKey: true, certificateEnd: 1_800_000_000, certificateSecondsLeft: 40 * 86_400),
            counters: [:])
        status.map = .init(
            clusters: 7, servers: 7, usableClusters: 7, neededClusters: MapView.pathClusters, linkedServers: 6,
            wireVersion: 2, links: ["2": 6])
        status.store = .init(usedBytes: 1, sizeBytes: 100)
        status.directory.view = .init(
            isTrusted: true, sources: ["bootstrapList": .init(named: 7, answered: 6)], unrelated: 6, alarms: [])
        return status
    }

    private func verdict(_ change: (inout NodeStatus) -> Void) -> NodeVerdict {
        var status = well
        change(&status)
        return NodeVerdict(status)
    }

    @Test("is that it is healthy while nothing is amiss")
    func healthy() {
        #expect(verdict { _ in } == NodeVerdict(findings: []))
        #expect(verdict { _ in }.state == .healthy)
    }

    @Test("counts the clusters that a message path lacks")
    func clusters() {
        #expect(MapView.pathClusters == 5)
        let few = verdict { $0.map.usableClusters = 3 }
        #expect(few.state == .unusable)
        #expect(few.findings[0].what == "3 of the 5 clusters that a message path needs are on the map")
        #expect(few.findings[0].next.contains("hulda node peer add"))
    }

    @Test("tells of the certificate a month before its end where nobody can renew it")
    func certificate() {
        #expect(verdict { $0.keys.hasClusterKey = false }.state == .healthy)
        let near = verdict {
            $0.keys.hasClusterKey = false
            $0.keys.certificateSecondsLeft = 29 * 86_400 + 5
        }
        #expect(near.state == .degraded && near.findings[0].what.contains("ends in 29 days"))
        #expect(verdict { $0.keys.certificateSecondsLeft = 86_400 }.state == .healthy)
        #expect(verdict { $0.keys.certificateSecondsLeft = 0 }.state == .unusable)
    }

    @Test("names what cannot be written, and what waits for it")
    func store() {
        let refused = verdict {
            $0.store.trouble = .init(seconds: 7, reason: "no space")
            $0.store.unpublished = 2
            $0.store.keysTrouble = .init(seconds: 8, reason: "no room")
        }
        #expect(refused.state == .unusable)
        #expect(
            refused.findings.map(\.what) == [
                "the store cannot be written, for 7 s: no space; 2 own descriptors wait for it",
                "the next day's mix key cannot be written, for 8 s: no room",
            ])
        #expect(refused.findings.allSatisfy { $0.next.contains("store_mib in node.toml") })
        #expect(verdict { $0.store.usedBytes = 95 }.state == .degraded)
    }

    @Test("has what to do about every kind of alarm, a view that is not trusted, and a map that others do not have")
    func view() {
        for kind in EclipseWatch.Alarm.Kind.allCases {
            let alarmed = verdict {
                $0.directory.view?.alarms = [.init(kind: kind.rawValue, detail: "something was seen", secondsLeft: 119)]
            }
            #expect(alarmed.state == .degraded)
            #expect(alarmed.findings[0].what == "something was seen (holds for 2 min more)")
            #expect(alarmed.findings[0].next.count > 40)
        }
        let alone = verdict { $0.directory.view?.isTrusted = false }
        #expect(alone.state == .degraded && alone.findings[0].next.contains("known_servers"))
        for judgement in [SnapshotReport.Judgement.contested, .refused] {
            let other = verdict {
                $0.map.snapshot = .init(epoch: 1, own: nil, judgement: judgement, signed: [], contradicting: 0)
            }
            #expect(other.state == .degraded && other.findings[0].next.contains("hulda audit membership"))
        }
    }

    @Test("names a copy of this server, another server of its cluster, and what a damaged store has lost")
    func copies() {
        let copied = verdict { $0.server.copy = .init(address: "192.0.2.9:7411", secondsAgo: 12, count: 3) }
        #expect(copied.state == .unusable && copied.findings[0].what.contains("192.0.2.9:7411"))
        #expect(copied.findings[0].next.hasPrefix("Stop it."))
        let before = verdict { $0.server.copy = .init(address: "192.0.2.9:7411", secondsAgo: 3600, count: 3) }
        #expect(before.state == .degraded)
        let shared = verdict {
            $0.map.siblings = [.init(server: "ab", address: "192.0.2.8:7411", certifiedUntil: 1_800_000_000)]
        }
        #expect(shared.state == .degraded && shared.findings[0].next.contains("cluster.key"))
        #expect(verdict { $0.store.findings = ["the store was damaged"] }.state == .degraded)
    }

    @Test("puts the worst first")
    func order() {
        let both = verdict {
            $0.directory.view?.isTrusted = false
            $0.map.linkedServers = 0
        }
        #expect(both.state == .unusable && both.findings.map(\.state) == [.unusable, .degraded])
    }
}

@Suite("What a node's log tells of others")
struct NewsTests {
    private let now = Timestamp(seconds: 1_800_000_000)
    private func key(_ number: UInt8) -> X25519PublicKey {
        X25519PublicKey(Bytes32([UInt8](repeating: number, count: 32))!)
    }

    @Test("a server's links count as one, from the first to the last")
    func links() {
        var book = LinkBook()
        let server = key(1)
        book.up(1, server, now)
        book.up(2, server, now.adding(seconds: 5))
        #expect(book.linked == 1 && book.entry(server)?.since == now)
        #expect(book.tell(server) && !book.tell(server))
        #expect(book.down(1, nil, now.adding(seconds: 6)) == nil)
        let lost = book.down(2, "truncated", now.adding(seconds: 7))
        #expect(lost?.server == server && lost?.since == now)
        #expect(book.linked == 0 && book.entry(server)?.failure == "truncated")
        #expect(book.failed(server, "no answer") == false)
        book.up(3, server, now.adding(seconds: 9))
        #expect(book.entry(server)?.failure == nil && book.untold == [server])
    }

    @Test("nothing is kept of strangers' keys, and of lost servers only so many")
    func bounds() throws {
        var book = LinkBook()
        for number in 0..<3 * LinkBook.limit {
            var bytes = [UInt8](repeating: 0, count: 32)
            (bytes[0], bytes[1]) = (UInt8(number & 0xff), UInt8(number >> 8))
            let server = X25519PublicKey(try #require(Bytes32(bytes)))
            book.up(UInt64(number), server, now)
            if number >= LinkBook.limit { _ = book.tell(server) }
            _ = book.down(UInt64(number), nil, now.adding(seconds: UInt64(number)))
            if number < LinkBook.limit { #expect(book.entry(server) == nil) }
        }
        #expect(
            Mirror(reflecting: book).children.allSatisfy { child in
                (child.value as? [X25519PublicKey: LinkBook.Entry]).map { $0.count <= LinkBook.limit } ?? true
            })
    }

    @Test("a kind of line is left out beyond thirty in a minute, and the next one says how many were")
    func ration() {
        var ration = LogRation()
        for _ in 0..<LogRation.limit { #expect(ration.take("lost", now) == 0) }
        for _ in 0..<7 { #expect(ration.take("lost", now) == nil) }
        #expect(ration.take("found", now) == 0)
        #expect(ration.take("lost", now.adding(seconds: 60)) == 7)
        #expect(ration.take("lost", now.adding(seconds: 60)) == 0)
    }

    @Test("clusters that come, are left out, and go are told once; those of the start are no news")
    func clusters() {
        var watch = ClusterWatch()
        let (one, two) = (VerifyingKey(Bytes32()), VerifyingKey(Bytes32([UInt8](repeating: 2, count: 32))!))
        #expect(watch.look([one: ("one", .root)]).isEmpty)
        let came = watch.look([one: ("one", .root), two: ("two", .refused)])
        #expect(came.map(\.change) == [.leftOut] && came[0].name == "two")
        #expect(watch.look([one: ("one", .root), two: ("two", .refused)]).isEmpty)
        #expect(watch.look([one: ("one", .root), two: ("two", .admitted)]).map(\.change) == [.admitted])
        #expect(watch.look([two: ("two", .root)]).map(\.change) == [.gone])
    }
}
