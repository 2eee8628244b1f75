import Glibc

/// The process's standard streams.
enum StandardStream {
    /// Writes all of `text`.
    /// - Returns: the `errno` that ended it early, or 0.
    @discardableResult
    static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) -> Int32 {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if errno != EINTR {
                    return errno
                }
            }
            return 0
        }
    }

    /// Standard input to its end, at most `limit` bytes.
    static func read(limit: Int) -> [UInt8] {
        var out: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while out.count < limit {
            let wanted = min(part.count, limit - out.count)
            let count = Glibc.read(STDIN_FILENO, &part, wanted)
            if count > 0 {
                out += part.prefix(count)
            } else if count == 0 || errno != EINTR {
                break
            }
        }
        return out
    }
}
