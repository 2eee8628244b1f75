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

    @Test("keeps addresses of users on a testbed alone: not unless it is told to, and not where others reach it")
    func testbedAddresses() throws {
        var configuration = NodeConfiguration(
            clusterName: "one", dataDirectory: "/nowhere", listen: "127.0.0.1:1", listenDatagram: "127.0.0.1:1")
        #expect(!configuration.testbedAddresses)
        configuration.testbedAddresses = true
        try configuration.validate()
        for address in ["192.0.2.1:1", "0.0.0.0:1", "[2001:db8::1]:1"] {
            for field in [\NodeConfiguration.listen, \.listenDatagram] {
                var reachable = configuration
                reachable[keyPath: field] = address
                #expect(throws: NodeError.self) { try reachable.validate() }
                reachable.testbedAddresses = false
                try reachable.validate()
            }
            var advertised = configuration
            advertised.advertise = address
            #expect(throws: NodeError.self) { try advertised.validate() }
        }
    }

    @Test("has every option in the list that checks types, reloads, and writes comments; each copies its own value")
    func options() {
        #expect(NodeOption.all.map(\.name) == NodeConfiguration.CodingKeys.allCases.map(\.stringValue))
        let old = NodeConfiguration(
            clusterName: "one", dataDirectory: "/a", listen: "127.0.0.1:1", listenDatagram: "127.0.0.1:1")
        var new = NodeConfiguration(
            clusterName: "two", dataDirectory: "/b", listen: "127.0.0.1:2", listenDatagram: "127.0.0.1:2")
        new.contact = "somebody"
        new.advertise = "127.0.0.1:3"
        new.advertiseDatagram = "127.0.0.1:4"
        new.bootstrap = "list"
        new.knownServers = ["x"]
        new.registrationToken = "token"
        new.namesPerAccount = 1
        new.storeMiB = 2
        new.records = 1000
        new.loopsPerMinute = 0
        new.wireVersion = 1
        new.testbedAddresses = true
        new.logLevel = "debug"
        let live = Set(NodeOption.all.filter(\.isLive).map(\.name))
        let merged = old.taking(live: new)
        #expect(Set(old.differences(from: merged).map(\.name)) == live)
        #expect(live.isDisjoint(with: merged.differences(from: new).map(\.name)))
        #expect(Set(merged.differences(from: new).map(\.name)).count + live.count == NodeOption.all.count)
    }
}
