import Glibc

/// The program's own code in memory.
enum CodePages {
    /// Lets go of code that only the start needed; what is called again is mapped again from the page cache.
    ///
    /// The kernel maps code in large pieces, so that most of a program becomes resident on the way through its start and
    /// stays so. Only private, executable, unwritable mappings of files are touched: their pages are clean.
    /// - Returns: the bytes of the mappings.
    @discardableResult
    static func release() -> Int {
        guard let maps = fopen("/proc/self/maps", "r") else { return 0 }
        defer { fclose(maps) }
        var released = 0
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, maps) > 0, let text = line.map({ String(cString: $0) }) {
            // "start-end r-xp offset device inode path"
            let fields = text.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { continue }
            let bounds = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
            guard bounds.count == 2, bounds[0] < bounds[1] else { continue }
            let count = Int(bitPattern: bounds[1] - bounds[0])
            if madvise(UnsafeMutableRawPointer(bitPattern: bounds[0]), count, MADV_DONTNEED) == 0 { released += count }
        }
        return released
    }
}
