import Records

/// The peers that a node or agent starts from, and whose clusters are its trust roots: one peer link a line,
/// empty lines and everything after `#` ignored (specs/map.md, "Bootstrap list").
public struct BootstrapList: Sendable, Equatable {
    /// What is wrong, and where.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// A line that is no peer link; lines count from 1.
        case line(Int, PeerLink.Failure)
        /// More than ``BootstrapList/limit`` links.
        case tooMany

        public var description: String {
            switch self {
            case .line(let number, let failure): "line \(number) of the bootstrap list is no peer link: \(failure)"
            case .tooMany: "the bootstrap list has more than \(BootstrapList.limit) links"
            }
        }
    }

    /// The most links in a list.
    public static let limit = 1024

    public let links: [PeerLink]

    public init(links: [PeerLink]) { self.links = links }

    public init(text: String) throws(Failure) {
        var links: [PeerLink] = []
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        for (number, line) in zip(1..., lines) {
            let uncommented = line.prefix { $0 != "#" }
            let words = uncommented.split { $0.isWhitespace }
            guard !words.isEmpty else { continue }
            do throws(PeerLink.Failure) {
                links.append(try PeerLink(text: words.joined(separator: " ")))
            } catch { throw .line(number, error) }
            guard links.count <= BootstrapList.limit else { throw .tooMany }
        }
        self.links = links
    }

    public var text: String { links.map { $0.text + "\n" }.joined() }
}
