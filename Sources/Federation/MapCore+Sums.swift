/// What operators see of the map's counters, by name.
extension MapCore {
    /// All sums since the start, never by link or key.
    public var sums: [String: UInt64] {
        counters.sums.merging(snapshotCounters.sums) { _, new in new }
            .merging(["map.decisions": admission.decisions]) { _, new in new }
    }
}

extension MapCounters {
    var sums: [String: UInt64] {
        [
            "map.learned": learned, "map.duplicates": duplicates, "map.replayed": replayed,
            "map.conflicting": conflicting, "map.forged": forged, "map.expired": expired, "map.oversize": oversize,
            "map.malformed": malformed, "map.pending": pending, "map.circular": circular, "map.evicted": evicted,
            "map.full": full, "map.hasty": hasty, "map.flooded": flooded, "map.throttled": throttled,
            "map.from_agents": fromAgents,
            "map.unknown": unknown, "map.later": later, "map.incompatible": incompatible, "map.exchanges": exchanges,
            "map.undecoded": undecoded, "map.stale": stale, "map.walks": walks, "map.incomplete": incomplete,
            "map.surplus": surplus, "map.clock_turns": clockTurns,
            "map.sent_bytes": sentBytes, "map.sent_frames": sentFrames,
        ]
    }
}

extension SnapshotCounters {
    var sums: [String: UInt64] {
        [
            "map.roots.learned": learned, "map.roots.signed": signed, "map.roots.duplicates": duplicates,
            "map.roots.malformed": malformed, "map.roots.forged": forged, "map.roots.far_off": farOff,
            "map.roots.not_admitted": notAdmitted, "map.roots.unasked": unasked,
            "map.roots.contradicting": contradicting, "map.evidence": evidence,
            "map.evidence.dropped": evidenceDropped, "map.evidence.evicted": evidenceEvicted,
        ]
    }
}
