/// Versions of what two ends of a link say about the map (specs/map.md, "Versions").
public enum MapVersion {
    /// Checksums of 256 buckets, and a descriptor a frame. It has no greeting: who does not greet speaks it.
    public static let first: UInt8 = 1
    /// Coded symbols, parcels and renewals.
    public static let second: UInt8 = 2
    public static let lowest = first
    public static let highest = second

    /// The highest version that both sides speak; `nil` when there is none.
    static func common(_ lowest: UInt8, _ highest: UInt8, own: UInt8) -> UInt8? {
        let version = min(highest, own)
        return version >= max(lowest, MapVersion.lowest) ? version : nil
    }
}
