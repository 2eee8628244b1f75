import Directory
import Primitives
import Records
import Wire

/// The servers with which a node begins, and where each is known from (specs/directory.md, "Bootstrap").
struct Beginnings: Sendable {
    /// Servers of one source that are asked.
    static let limit = 64

    private let links: [(source: BootstrapSource, link: PeerLink)]
    /// Where those that were named have been asked.
    private var asked: [X25519PublicKey: Set<Wire.SocketAddress>] = [:]

    /// - Parameters:
    ///   - named: in any order; of long lists a part is drawn, so that not all ask the same.
    ///   - own: this server's link key, which stands in lists as well.
    init(_ named: [BootstrapSource: [PeerLink]], own: X25519PublicKey, entropy: inout Entropy) {
        var links: [(source: BootstrapSource, link: PeerLink)] = []
        for source in BootstrapSource.allCases {
            var group = (named[source] ?? []).filter { $0.linkKey != own }
            if group.count > Beginnings.limit { entropy.shuffle(&group) }
            links += group.prefix(Beginnings.limit).map { (source, $0) }
        }
        self.links = links
    }

    /// Where they answer by their links: UDP has the port of TCP as a rule. Host names are looked up for TCP only; such
    /// servers are asked when the map has them.
    mutating func first() -> [(source: BootstrapSource, endpoints: [Endpoint])] {
        grouped(
            links.compactMap { source, link in
                link.address.map { (source, Endpoint(linkKey: link.linkKey, address: $0)) }
            })
    }

    /// Where they answer by the map.
    /// - Returns: what was not asked before.
    mutating func found(_ endpoints: [Endpoint]) -> [(source: BootstrapSource, endpoints: [Endpoint])] {
        var sources: [X25519PublicKey: [BootstrapSource]] = [:]
        for (source, link) in links { sources[link.linkKey, default: []].append(source) }
        let new = endpoints.filter { sources[$0.linkKey] != nil && asked[$0.linkKey]?.contains($0.address) != true }
        return grouped(new.flatMap { endpoint in (sources[endpoint.linkKey] ?? []).map { ($0, endpoint) } })
    }

    private mutating func grouped(
        _ pairs: [(source: BootstrapSource, endpoint: Endpoint)]
    ) -> [(source: BootstrapSource, endpoints: [Endpoint])] {
        for (_, endpoint) in pairs { asked[endpoint.linkKey, default: []].insert(endpoint.address) }
        return BootstrapSource.allCases.compactMap { source in
            let endpoints = pairs.filter { $0.source == source }.map(\.endpoint)
            return endpoints.isEmpty ? nil : (source, endpoints)
        }
    }
}
