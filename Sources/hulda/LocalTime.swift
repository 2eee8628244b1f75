import Glibc

/// Points in time: for people in their own zone with its offset from UTC, for programs as ISO 8601 in UTC.
enum LocalTime {
    /// The end of the year 9999: a stranger's clock may say anything.
    private static let lastSecond: UInt64 = 253_402_300_799

    /// `2026-12-01 04:00:29 +01:00`, by the zone of `TZ` or of the system.
    static func text(_ seconds: UInt64) -> String {
        var (time, parts) = (time_t(min(seconds, lastSecond)), tm())
        tzset()
        guard localtime_r(&time, &parts) != nil else { return utc(seconds) }
        let offset = abs(parts.tm_gmtoff) / 60
        let sign = parts.tm_gmtoff < 0 ? "-" : "+"
        return "\(date(parts)) \(clock(parts)) \(sign)\(digits(offset / 60, 2)):\(digits(offset % 60, 2))"
    }

    /// `2026-12-01T03:00:29Z`
    static func utc(_ seconds: UInt64) -> String {
        var (time, parts) = (time_t(min(seconds, lastSecond)), tm())
        guard gmtime_r(&time, &parts) != nil else { return "" }
        return "\(date(parts))T\(clock(parts))Z"
    }

    private static func date(_ parts: tm) -> String {
        "\(digits(Int(parts.tm_year) + 1900, 4))-\(digits(Int(parts.tm_mon) + 1, 2))-\(digits(Int(parts.tm_mday), 2))"
    }

    private static func clock(_ parts: tm) -> String {
        "\(digits(Int(parts.tm_hour), 2)):\(digits(Int(parts.tm_min), 2)):\(digits(Int(parts.tm_sec), 2))"
    }

    private static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}
