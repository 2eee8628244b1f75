import Directory
import Federation
import FoundationEssentials
import Glibc
import NIOCore
import Records
import Transport
import Wire

/// Where a node keeps what, and how it is read.
public enum NodeFiles {
    /// The socket on which the running node answers its operator.
    public static func socketPath(_ configuration: NodeConfiguration) -> String {
        configuration.dataDirectory + "/node.sock"
    }

    /// Peers that the operator has added, one peer link a line.
    public static func peersPath(_ configuration: NodeConfiguration) -> String {
        configuration.dataDirectory + "/peers.txt"
    }

    /// Where the node puts proofs that others contradicted themselves: `hulda audit evidence` checks them.
    public static func evidencePath(_ configuration: NodeConfiguration) -> String {
        configuration.dataDirectory + "/evidence"
    }

    /// The bootstrap list's path; `nil` where none is configured.
    public static func bootstrapPath(_ configuration: NodeConfiguration) -> String? {
        configuration.bootstrap.map { $0.hasPrefix("/") ? $0 : "\(configuration.dataDirectory)/\($0)" }
    }

    /// The bootstrap list as it was read last: its clusters are trust roots also when the list itself is gone.
    static func keptListPath(_ configuration: NodeConfiguration) -> String {
        configuration.dataDirectory + "/bootstrap.last"
    }

    /// The links of the bootstrap list, or of the last one that was read where the list is missing.
    static func bootstrapList(_ configuration: NodeConfiguration) throws(NodeError) -> [PeerLink] {
        guard let path = bootstrapPath(configuration) else { return [] }
        let kept = keptListPath(configuration)
        let isMissing = !FileManager.default.fileExists(atPath: path)
        return try list(isMissing && FileManager.default.fileExists(atPath: kept) ? kept : path, isRequired: true)
    }

    /// Keeps what the bootstrap list says for the day on which it is missing.
    static func keepList(_ configuration: NodeConfiguration) throws(NodeError) {
        guard let path = bootstrapPath(configuration), FileManager.default.fileExists(atPath: path) else { return }
        let (kept, text) = (keptListPath(configuration), BootstrapList(links: try list(path, isRequired: true)).text)
        guard FileManager.default.contents(atPath: kept) != Data(text.utf8) else { return }
        do throws(DurableFile.Failure) { try DurableFile.write(text, to: kept) } catch {
            throw .unreadable(path: kept, reason: error.reason)
        }
    }

    /// The servers with which a node begins, by where they are known from.
    static func named(_ configuration: NodeConfiguration) throws(NodeError) -> [BootstrapSource: [PeerLink]] {
        [
            .bundled: try bootstrapList(configuration),
            .invitation: try list(peersPath(configuration), isRequired: false),
            .manual: try configuration.knownLinks(),
        ]
    }

    /// The bootstrap list and the added peers, whose clusters are trusted.
    static func peers(_ named: [BootstrapSource: [PeerLink]]) -> [PeerLink] {
        var links = named[.bundled] ?? []
        for link in named[.invitation] ?? [] where !links.contains(link) { links.append(link) }
        return links
    }

    /// The peer links in the file at `path`.
    public static func list(_ path: String, isRequired: Bool) throws(NodeError) -> [PeerLink] {
        guard let data = FileManager.default.contents(atPath: path) else {
            guard isRequired || FileManager.default.fileExists(atPath: path) else { return [] }
            throw .unreadable(path: path, reason: "the list cannot be read")
        }
        do throws(BootstrapList.Failure) {
            return try BootstrapList(text: String(decoding: data, as: UTF8.self)).links
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
    }

    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    static func makeDirectory(_ path: String) throws(NodeError) {
        do {
            try Exposure.makeFolder(path)
        } catch let exposure as Exposure {
            throw .exposed(exposure)
        } catch {
            throw .unreadable(path: path, reason: FileFailure.reason(error))
        }
    }

    /// Resident memory of this process.
    static func residentKiB() -> UInt64 {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages * UInt64(max(4096, sysconf(Int32(_SC_PAGESIZE)))) / 1024
    }
}

/// The addresses of a configuration, parsed.
public struct NodeAddresses: Sendable {
    public let listen: Wire.SocketAddress
    public let listenDatagram: Wire.SocketAddress
    public let advertise: Wire.SocketAddress
    public let advertiseDatagram: Wire.SocketAddress

    public init(_ configuration: NodeConfiguration) throws(NodeError) {
        listen = try NodeAddresses.parse(configuration.listen, "listen")
        listenDatagram = try NodeAddresses.parse(configuration.listenDatagram, "listen_datagram")
        advertise =
            try configuration.advertise.map { (text) throws(NodeError) in
                try NodeAddresses.parse(text, "advertise")
            } ?? listen
        advertiseDatagram =
            try configuration.advertiseDatagram.map { (text) throws(NodeError) in
                try NodeAddresses.parse(text, "advertise_datagram")
            } ?? (configuration.advertise == nil ? listenDatagram : advertise)
        for (address, field) in [(advertise, "advertise"), (advertiseDatagram, "advertise_datagram")]
        where address.isUnspecified {
            throw .configuration(
                field: field,
                reason: "must be the address at which others reach this server; \(address.host) stands for all it has")
        }
    }

    private static func parse(_ text: String, _ field: String) throws(NodeError) -> Wire.SocketAddress {
        guard let address = Wire.SocketAddress(text: text), address.port > 0 else {
            throw .configuration(
                field: field, reason: "\u{201C}\(text)\u{201D} is not an address of the form 192.0.2.1:7411")
        }
        return address
    }

    /// Runs `bind` and says in words why it failed.
    static func listening<T>(_ address: Wire.SocketAddress, _ bind: () async throws -> T) async throws -> T {
        do {
            return try await bind()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw NodeError.addressInUse("\(address)")
        } catch let error as IOError {
            throw NodeError.cannotListen(address: "\(address)", reason: String(cString: strerror(error.errnoCode)))
        }
    }
}
