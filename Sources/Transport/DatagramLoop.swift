import Glibc
import NIOConcurrencyHelpers
import NIOCore
import Wire

/// A thread that waits at once for datagrams of one socket, for work from other threads, and for one moment.
///
/// Whoever owns a core runs on it, so that a datagram is received, handled and answered by one thread that was woken
/// once, with three system calls. An event loop of SwiftNIO takes several times as long for a socket that is mostly
/// quiet (specs/results/directory.md, "Beside OpenDHT and libtorrent").
///
/// Confined to its thread: every method but ``start()``, ``execute(_:)`` and ``stop()`` runs there, which is what makes
/// `@unchecked Sendable` true.
public final class DatagramLoop: @unchecked Sendable {
    private struct Shared {
        var work: [@Sendable () -> Void] = []
        /// Whether the thread waits, or is about to, and nobody has woken it yet.
        var isWaiting = false
        var isStarted = false
        /// Who waits for the end of the thread.
        var ending: [CheckedContinuation<Void, Never>] = []
        var isEnded = false
    }

    /// Milliseconds that the thread waits at most.
    private static let longestWait: UInt64 = 60_000

    private let shared = NIOLockedValueBox(Shared())
    /// What is being done; kept for its room.
    private var work: [@Sendable () -> Void] = []
    private let wakePipe: (reading: CInt, writing: CInt)
    private var socket: DatagramSocket?
    private var receive: ((_ datagram: [UInt8], _ from: Wire.SocketAddress) -> Void)?
    /// By the monotonic clock, in milliseconds.
    private var timer: (due: UInt64, body: () -> Void)?

    public init() throws {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw IOError(errnoCode: errno, reason: "pipe") }
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        wakePipe = (ends[0], ends[1])
    }

    deinit {
        close(wakePipe.reading)
        close(wakePipe.writing)
    }

    /// Starts the thread, which lives until ``stop()``. Work that was handed in before is done then.
    public func start() throws {
        let isFirst = shared.withLockedValue { shared in
            defer { shared.isStarted = true }
            return !shared.isStarted
        }
        guard isFirst else { return }
        var thread = pthread_t()
        let own = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { raw in
                if let raw { Unmanaged<DatagramLoop>.fromOpaque(raw).takeRetainedValue().run() }
                return nil
            }, own.toOpaque())
        guard status == 0 else {
            own.release()
            shared.withLockedValue { $0.isStarted = false }
            throw IOError(errnoCode: status, reason: "pthread_create")
        }
        pthread_detach(thread)
    }

    /// Does `body` on the thread, after what was handed in before. Callable from any thread; nothing is done any more
    /// once the loop has ended.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        let mustWake = shared.withLockedValue { shared in
            guard !shared.isEnded else { return false }
            shared.work.append(body)
            defer { shared.isWaiting = false }
            return shared.isWaiting
        }
        if mustWake { wakeUp() }
    }

    /// Ends the thread when all work is done, and closes the socket.
    public func stop() async {
        await withCheckedContinuation { continuation in
            let isRunning = shared.withLockedValue { shared in
                guard shared.isStarted, !shared.isEnded else { return false }
                shared.ending.append(continuation)
                shared.isWaiting = false
                return true
            }
            if isRunning { wakeUp() } else { continuation.resume() }
        }
    }

    // MARK: On the thread

    /// Hands every datagram of `socket` to `receive`.
    public func serve(
        _ socket: DatagramSocket, receive: @escaping (_ datagram: [UInt8], _ from: Wire.SocketAddress) -> Void
    ) {
        self.socket = socket
        self.receive = receive
    }

    /// Sends one datagram; one that the system refuses is lost like any other.
    public func send(_ datagram: [UInt8], to address: Wire.SocketAddress) { socket?.send(datagram, to: address) }

    /// Receives and sends nothing any more.
    public func closeSocket() {
        socket?.close()
        socket = nil
        receive = nil
    }

    /// Calls `body` once after some milliseconds, and not what was to be called before.
    public func wake(in milliseconds: UInt64, _ body: @escaping () -> Void) {
        timer = (DatagramLoop.milliseconds().addingReportingOverflow(milliseconds).partialValue, body)
    }

    private func run() {
        while takeWork() {
            for body in work { body() }
            work.removeAll(keepingCapacity: true)
            runTimer()
            wait()
        }
        closeSocket()
        timer = nil
        for waiting in shared.withLockedValue({ $0.ending }) { waiting.resume() }
    }

    /// - Returns: false when there is no more work and somebody wants the end.
    private func takeWork() -> Bool {
        shared.withLockedValue { shared in
            shared.isEnded = !shared.ending.isEmpty && shared.work.isEmpty
            swap(&shared.work, &work)
            return !shared.isEnded
        }
    }

    private func runTimer() {
        guard let due = timer?.due, due <= DatagramLoop.milliseconds(), let body = timer?.body else { return }
        timer = nil
        body()
    }

    /// Waits for whatever comes first, and handles one datagram. With more of them `poll` returns at once, and so does
    /// it with work that was handed in meanwhile: neither keeps the other waiting.
    private func wait() {
        var patience = DatagramLoop.longestWait
        if let due = timer?.due {
            let now = DatagramLoop.milliseconds()
            patience = min(patience, due > now ? due - now : 0)
        }
        let mayWait = shared.withLockedValue { shared in
            shared.isWaiting = shared.work.isEmpty && shared.ending.isEmpty
            return shared.isWaiting
        }
        // A negative descriptor is passed over.
        var polled = (
            pollfd(fd: wakePipe.reading, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
        )
        let count = withUnsafeMutableBytes(of: &polled) { raw in
            poll(raw.assumingMemoryBound(to: pollfd.self).baseAddress, 2, mayWait ? CInt(patience) : 0)
        }
        shared.withLockedValue { $0.isWaiting = false }
        guard count > 0 else { return }
        if polled.0.revents != 0 { emptyPipe() }
        if polled.1.revents != 0, let receive { socket?.receive(receive) }
    }

    // MARK: Waking

    private func wakeUp() {
        var byte: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(wakePipe.writing, &byte, 1)
    }

    private func emptyPipe() {
        var bytes: UInt64 = 0
        while read(wakePipe.reading, &bytes, 8) == 8 {}
    }

    private static func milliseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        // Rounded up, so that nothing is early.
        return UInt64(max(0, time.tv_sec)) * 1000 + UInt64(max(0, time.tv_nsec) + 999_999) / 1_000_000
    }
}
