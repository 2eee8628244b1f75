import Foundation
import Logging

@testable import Node

/// Starts a node without loops, the only server of its cluster.
func startNode(
    _ name: String, in path: String, at address: String, _ change: (inout NodeConfiguration) -> Void = { _ in }
) async throws -> NodeRuntime {
    var configuration = NodeConfiguration(
        clusterName: name, dataDirectory: path, listen: address, listenDatagram: address)
    configuration.loopsPerMinute = 0
    change(&configuration)
    return try await NodeRuntime.start(configuration, logger: Logger(label: "test"))
}

/// Runs `body` with such a node in a folder of its own, and stops the node whatever comes of it.
func withNode<T>(_ name: String, at address: String, _ body: (NodeRuntime) async throws -> T) async throws -> T {
    let path = try folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let node = try await startNode(name, in: path, at: address)
    do {
        let result = try await body(node)
        await node.stop()
        return result
    } catch {
        await node.stop()
        throw error
    }
}
