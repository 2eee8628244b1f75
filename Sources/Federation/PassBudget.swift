/// How much of its map a node looks through in an interval because others ask: some messages cost it a pass over the whole
/// map, and there may be many links (specs/map.md, "Bounds").
struct PassBudget: Sendable {
    /// Descriptors that may still be looked at for anybody, and for agents.
    private var left: Int
    private var leftForAgents: Int

    init(limit: Int) {
        left = limit
        leftForAgents = limit / 2
    }

    /// A pass is begun while anything is left, however large the map is.
    mutating func take(_ cost: Int, isAgent: Bool) -> Bool {
        guard left > 0, !isAgent || leftForAgents > 0 else { return false }
        left -= cost
        if isAgent { leftForAgents -= cost }
        return true
    }
}
