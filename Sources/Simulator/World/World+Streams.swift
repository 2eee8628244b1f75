import Correspondence
import Directory
import Federation
import Primitives
import Records

/// Streams on which somebody stops within a frame.
extension World {
    /// Milliseconds that a frame may take from its first byte on (specs/wire.md, "Bounds of links").
    private static let patience: UInt64 = 30_000
    /// Up to so many frames come whole.
    private static let frames = 100

    /// How often who is at the place has started: streams do not outlive that.
    private func life(of place: Int) -> Int {
        place < servers.count ? servers[place].generation : agents[place - servers.count].generation
    }

    /// Whether the server's next frame to a place goes out whole. After one that does not nothing comes on that stream,
    /// until the other end closes it.
    func isWhole(_ server: WorldServer, to place: Int) -> Bool {
        guard server.liar.conduct == .stalling else { return true }
        let life = life(of: place)
        var stream = server.streams[place] ?? (life, entropy.below(World.frames))
        if stream.life != life { stream = (life, entropy.below(World.frames)) }
        if stream.left == 0 {
            schedule(
                World.patience, .stalled(server.index, generation: server.generation, to: place, life: life))
        }
        let isWhole = stream.left > 0
        stream.left -= 1
        server.streams[place] = stream
        return isWhole
    }

    /// Who waited for the rest of a frame closes the stream. Both ends make a new one.
    func stalled(_ server: WorldServer, _ place: Int, _ life: Int) throws {
        guard life == self.life(of: place), server.streams.removeValue(forKey: place) != nil else { return }
        figures.stalledStreams += 1
        record(.link, from: place, to: server.index, [], "stalled")
        guard place < servers.count else { return try disconnect(agents[place - servers.count], server.nodeID) }
        let other = servers[place]
        for link in linksOf[server.index] where self.other(link, than: server.index) === other && other.isUp {
            handle(server, .linkDown(link: UInt64(link)))
            handle(other, .linkDown(link: UInt64(link)))
            handle(server, .linkDown(UInt64(link)))
            handle(other, .linkDown(UInt64(link)))
            connect(server, other, link)
        }
    }
}
