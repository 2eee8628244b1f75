import Glibc
import Storage

/// A data file that is read page by page, and not through a map: what cannot be read is an answer, not a signal.
final class PageFile {
    let pageSize: Int
    /// Bytes.
    let length: Int
    private let descriptor: Int32

    /// - Throws: ``StorageError/unavailable(_:)`` when the file cannot be opened.
    init(path: String) throws(StorageError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError(system: errno) }
        self.descriptor = descriptor
        length = max(0, Int(lseek(descriptor, 0, SEEK_END)))
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_WILLNEED)
        // The first meta says what a page is; if it says nothing possible, it is damaged, and the machine's size is tried.
        var noted: UInt32 = 0
        let offset = off_t(PageFormat.headerSize + 24)
        let isRead = withUnsafeMutableBytes(of: &noted) { pread(descriptor, $0.baseAddress, 4, offset) == 4 }
        let usual = min(max(4096, sysconf(Int32(_SC_PAGESIZE))), 32_768)
        pageSize = isRead && PageFormat.pageSizes.contains(Int(noted)) ? Int(noted) : usual
    }

    deinit {
        close(descriptor)
    }

    /// Pages that are there as wholes.
    var pages: UInt64 { UInt64(length / pageSize) }

    /// Fills `bytes` from a page on.
    /// - Returns: false when so much cannot be read there.
    func read(_ page: UInt64, skipping: Int = 0, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        let (start, overflow) = page.multipliedReportingOverflow(by: UInt64(pageSize))
        guard !overflow, start <= UInt64(length), bytes.count + skipping <= length - Int(start) else { return false }
        var done = 0
        while done < bytes.count {
            let count = pread(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(Int(start) + skipping + done)
            )
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }
}

/// A set of page numbers below a limit.
struct PageSet {
    private var words: [UInt64]
    private let limit: UInt64

    init(limit: UInt64) {
        self.limit = limit
        words = [UInt64](repeating: 0, count: Int(limit / 64 + 1))
    }

    func contains(_ page: UInt64) -> Bool { page < limit && words[Int(page / 64)] & (1 << (page % 64)) != 0 }

    /// - Returns: whether it is new in the set, and within it.
    mutating func insert(_ page: UInt64) -> Bool {
        guard page < limit, !contains(page) else { return false }
        words[Int(page / 64)] |= 1 << (page % 64)
        return true
    }
}
