import Correspondence
import Directory
import Federation
import Foundation
import Home
import Link
import NIOPosix
import Relay
import Testing
import Transport
import Wire

@testable import Node

/// What an operator sees of a node.
@Suite("A node's statement")
struct StatementTests {
    private struct Statement: Decodable {
        let counters: [String: UInt64]
    }

    @Test("has every counter of every core by its name, and the list of counters has them too")
    func counters() async throws {
        try await withNode("counted", at: "127.189.0.2:7411", compare)
    }

    private func compare(_ node: NodeRuntime) async throws {
        let answer = try await ControlSocket.ask(
            path: NodeFiles.socketPath(node.configuration), Array("status".utf8),
            group: MultiThreadedEventLoopGroup.singleton)
        let relay = await withCheckedContinuation { continuation in
            node.relay.enqueue { continuation.resume(returning: Fields.of($0.core)) }
        }
        let cores = await withCheckedContinuation { continuation in
            node.cores.enqueue { owner in
                let fields = Fields.of(owner.map) + Fields.of(owner.directory) + Fields.of(owner.home)
                continuation.resume(returning: fields + Fields.of([owner.endpoint.counters]))
            }
        }
        let shown = try JSONDecoder().decode(Statement.self, from: Data(answer)).counters

        // Found by what they are called, so that a new set of counters is missed here when nobody shows it.
        let fields = relay + cores
        #expect(Set(fields.map(\.set)).count == 7, "\(Set(fields.map(\.set)))")
        #expect(fields.count > 100)
        for field in fields {
            let name = try #require(field.name, "\(field.set) is not a CounterSet")
            #expect(shown[name] != nil, "\(field.set).\(field.label) is not shown as \(name)")
        }
        let documentation = try String(contentsOf: specification("counters.md"), encoding: .utf8)
        for name in Array(shown.keys) + Array(AgentCounters().sums.keys) {
            #expect(documentation.contains("`\(name)`"), "\(name) is not in specs/counters.md")
        }
    }

    @Test("counters that have a name of their own have it, and no name stands for two of them")
    func names() {
        func check<Counters: CounterSet>(_ counters: Counters) {
            let labels = Mirror(reflecting: counters).children.compactMap(\.label)
            #expect(Set(labels).isSuperset(of: Counters.names.keys))
            #expect(counters.sums.count == labels.count)
        }
        check(MapCounters())
        check(SnapshotCounters())
        check(DirectoryCounters())
        check(SharedRandomCounters())
        check(DatagramCounters())
        check(HomeCounters())
        check(RelayCounters())
        check(AgentCounters())
    }

    private func specification(_ name: String) -> URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../specs/\(name)")
            .standardized
    }
}

/// A field of a type that counts, found in a core.
private struct Fields: Sendable {
    let set: String
    let label: String
    /// Its name for operators; `nil` when the type has none.
    let name: String?

    /// Those of every value in `value` whose type's name ends in "Counters".
    static func of(_ value: Any, depth: Int = 3) -> [Fields] {
        Mirror(reflecting: value).children.flatMap { child -> [Fields] in
            let type = "\(type(of: child.value))"
            guard type.hasSuffix("Counters") else {
                return depth > 0 ? of(child.value, depth: depth - 1) : []
            }
            let names = child.value as? any CounterSet
            return Mirror(reflecting: child.value).children.compactMap { field in
                field.label.map { label in Fields(set: type, label: label, name: names.map { name(of: label, in: $0) })
                }
            }
        }
    }

    private static func name(of label: String, in set: some CounterSet) -> String {
        let parts = label.reduce(into: "") { $0 += $1.isUppercase ? "_\($1.lowercased())" : "\($1)" }
        return type(of: set).names[label] ?? "\(type(of: set).family).\(parts)"
    }
}
