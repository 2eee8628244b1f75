/// What somebody may have meant who mistyped a name.
enum Spelling {
    /// The one of `names` that differs in the fewest letters, if these are few; `nil` when none is near.
    static func nearest(to word: String, among names: [String]) -> String? {
        let word = word.lowercased()
        guard word.count <= 64 else { return nil }
        let limit = max(1, word.count / 3)
        return names.map { ($0, distance(word, $0.lowercased())) }
            .filter { $0.1 <= limit || (word.count >= 2 && $0.0.lowercased().hasPrefix(word)) }
            .min { $0.1 < $1.1 }?.0
    }

    /// Letters to change, add, leave out or swap with their neighbour (optimal string alignment).
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a), Array(b))
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var rows = [Array(0...b.count)]
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var least = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    least = min(least, rows[i - 2][j - 2] + 1)
                }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
