/// What operators see of the map's counters, by name.
extension MapCore {
    /// All sums since the start, never by link or key.
    public var sums: [String: UInt64] {
        counters.sums.merging(snapshotCounters.sums) { _, new in new }
            .merging(["map.decisions": admission.decisions]) { _, new in new }
    }
}
