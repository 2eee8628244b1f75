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

    /// What stands in a file or stream to its end, at most `limit` bytes.
    /// - Returns: the bytes, and the `errno` that ended them early, or 0.
    static func read(limit: Int, from descriptor: Int32 = STDIN_FILENO) -> (bytes: [UInt8], reason: Int32) {
        var out: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while out.count < limit {
            let wanted = min(part.count, limit - out.count)
            let count = Glibc.read(descriptor, &part, wanted)
            if count > 0 {
                out += part.prefix(count)
            } else if count == 0 {
                break
            } else if errno != EINTR {
                return (out, errno)
            }
        }
        return (out, 0)
    }
}
