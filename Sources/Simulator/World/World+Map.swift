import Directory
import Federation
import Records
import Wire

/// A link between two servers over which their maps are kept equal.
struct MapLink: Hashable, Sendable {
    let left: Int
    let right: Int

    var number: UInt64 { UInt64(left) << 32 | UInt64(right) }
    var ends: [Int] { [left, right] }

    func other(_ end: Int) -> Int { end == left ? right : left }
}

extension World {
    /// Every server keeps links to the next two.
    var mapLinks: [MapLink] {
        var links: [MapLink] = []
        for index in servers.indices {
            for step in 1...2 {
                let other = (index + step) % servers.count
                let link = MapLink(left: min(index, other), right: max(index, other))
                if index != other, !links.contains(link) { links.append(link) }
            }
        }
        return links
    }

    mutating func open(_ link: MapLink) throws {
        guard link.ends.allSatisfy({ servers[$0].isUp }), network.reaches(link.left, link.right),
            network.reaches(link.right, link.left), network.open.insert(link).inserted
        else { return }
        for end in link.ends {
            try handle(end, .linkUp(link: link.number, peer: servers[link.other(end)].nodeID))
        }
    }

    mutating func close(_ link: MapLink) {
        guard network.open.remove(link) != nil else { return }
        for end in link.ends where servers[end].isUp {
            // A link that ends says nothing, so there is nothing to perform.
            _ = try? servers[end].handle(MapEvent.linkDown(link: link.number), local(end), dice)
        }
    }

    /// Opens and closes links as the network now permits.
    mutating func updateLinks() throws {
        for link in mapLinks {
            if network.reaches(link.left, link.right), network.reaches(link.right, link.left) {
                try open(link)
            } else {
                close(link)
            }
        }
    }

    mutating func announce(_ index: Int) throws { try perform(try servers[index].announce(local(index)), index) }

    mutating func handle(_ index: Int, _ event: MapEvent) throws {
        guard servers[index].isUp else { return }
        try perform(try servers[index].handle(event, local(index), dice), index)
    }

    private mutating func perform(_ outcome: Outcome<MapEffect>, _ index: Int) throws {
        var hasChanged = false
        for effect in outcome.effects {
            switch effect {
            case .send(let number, let body):
                watch.frame(body.count)
                guard let link = network.open.first(where: { $0.number == number }) else { continue }
                let target = link.other(index)
                schedule(
                    network.delay(index, target) + 1,
                    .mapFrame(link, to: target, generations: link.ends.map { servers[$0].generation }, body))
            case .learned, .lost: hasChanged = true
            case .learnedCluster: break
            }
        }
        if outcome.isDead {
            servers[index].kill = nil
            kill(index)
            schedule(1500, .startServer(index))
        } else if hasChanged {
            try tellDirectory(index)
        }
        arm(index)
    }

    /// What the node's driver does when the map has changed.
    mutating func tellDirectory(_ index: Int) throws {
        let known = servers[index].map.currentServers(at: local(index))
        try handle(
            index,
            DirectoryEvent.map(
                known.map {
                    Placement.Node(
                        id: $0.nodeID, cluster: $0.clusterID, prefix: $0.udp.prefix,
                        endpoint: Endpoint(linkKey: $0.linkKey, address: $0.udp))
                }))
    }
}

extension Timestamp {
    /// The time on a clock that is so many milliseconds ahead.
    func shifted(by milliseconds: Int64) -> Timestamp {
        guard milliseconds < 0 else { return adding(milliseconds: UInt64(milliseconds)) }
        let back = milliseconds.magnitude
        return Timestamp(milliseconds: self.milliseconds > back ? self.milliseconds - back : 0)
    }
}
