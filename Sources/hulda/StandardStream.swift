import Glibc

/// The process's standard streams.
enum StandardStream {
    /// Writes all of `text`; stops quietly when nobody reads any more.
    static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if errno != EINTR {
                    return
                }
            }
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
