import Testing

@testable import Node

@Suite("A node's configuration")
struct NodeConfigurationTests {
    @Test("takes from a thousand to ten million directory records, and names the field when it is something else")
    func records() throws {
        var configuration = NodeConfiguration(
            clusterName: "one", dataDirectory: "/nowhere", listen: "127.0.0.1:1", listenDatagram: "127.0.0.1:1")
        #expect(configuration.records == 200_000)
        for records in [1000, 1_000_000, 10_000_000] {
            configuration.records = records
            try configuration.validate()
        }
        for records in [.min, -1, 0, 999, 10_000_001, .max] {
            configuration.records = records
            do throws(NodeError) {
                try configuration.validate()
                Issue.record("\(records) was taken")
            } catch {
                #expect("\(error)".hasPrefix("records: must be from 1000 to 10000000"))
            }
        }
    }
}
