import Glibc
import Primitives

/// Round trips of a world with some large cities: distance along the sphere, slower than light in glass by the factor
/// that routes are longer than the straight line, and a few milliseconds of access.
///
/// A plain model, for figures that are stated in median round trips of the same world.
struct RegionLatency: Sendable {
    /// Latitude, longitude, and the share of the world's servers and users in percent.
    private static let regions: [(latitude: Double, longitude: Double, weight: Int)] = [
        (40.7, -74.0, 14), (41.9, -87.6, 7), (37.4, -122.1, 10), (19.4, -99.1, 3), (-23.5, -46.6, 5),
        (51.5, -0.1, 10), (50.1, 8.7, 14), (48.9, 2.3, 6), (60.2, 24.9, 4), (55.8, 37.6, 3), (41.0, 29.0, 2),
        (-26.2, 28.0, 2), (25.2, 55.3, 2), (19.1, 72.9, 4), (1.4, 103.8, 5), (35.7, 139.7, 5), (37.6, 127.0, 2),
        (-33.9, 151.2, 2),
    ]
    /// Kilometres a millisecond in fibre, and how much longer than the straight line routes are.
    private static let speed = 200.0
    private static let detour = 1.6

    /// One-way milliseconds between regions.
    private let oneWay: [[Double]]
    private let draw: [Int]

    init() {
        let regions = RegionLatency.regions
        oneWay = regions.map { from in
            regions.map { to in
                RegionLatency.kilometres(from.latitude, from.longitude, to.latitude, to.longitude)
                    * RegionLatency.detour / RegionLatency.speed
            }
        }
        draw = regions.indices.flatMap { index in [Int](repeating: index, count: regions[index].weight) }
    }

    /// Where a node or a user is.
    func region(_ entropy: inout Entropy) -> Int { draw[entropy.below(draw.count)] }

    /// Milliseconds one way, with 2 to 12 ms of access and queues.
    func delay(_ from: Int, _ to: Int, _ entropy: inout Entropy) -> Double {
        oneWay[from][to] + 2 + 10 * entropy.unit() * entropy.unit()
    }

    /// The median round trip between two that are drawn at random.
    func medianRoundTrip(_ entropy: inout Entropy) -> Double {
        var sample = RankedSample()
        for _ in 0..<20_000 {
            let from = region(&entropy)
            let to = region(&entropy)
            sample.add(delay(from, to, &entropy) + delay(to, from, &entropy))
        }
        return sample.quantile(0.5)
    }

    private static func kilometres(_ lat1: Double, _ lon1: Double, _ lat2: Double, _ lon2: Double) -> Double {
        let radians = Double.pi / 180
        let a =
            sin((lat2 - lat1) * radians / 2) * sin((lat2 - lat1) * radians / 2)
            + cos(lat1 * radians) * cos(lat2 * radians) * sin((lon2 - lon1) * radians / 2)
            * sin((lon2 - lon1) * radians / 2)
        return 2 * 6371 * asin(min(1, a.squareRoot()))
    }
}
