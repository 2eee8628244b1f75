import Dispatch
import Glibc

/// The operator's wishes, which come as signals.
enum Termination {
    /// Returns when SIGTERM or SIGINT arrives.
    static func wait() async {
        for await _ in signals([SIGTERM, SIGINT]) { return }
    }

    /// The signals of these numbers as they come, from now on.
    static func signals(_ numbers: [Int32]) -> AsyncStream<Int32> {
        signal(SIGPIPE, SIG_IGN)
        return AsyncStream { continuation in
            let sources = numbers.map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { continuation.yield(number) }
                source.resume()
                return source
            }
            let kept = SourceBox(sources)
            continuation.onTermination = { _ in kept.cancel() }
        }
    }

    /// Keeps the sources alive as long as somebody waits. Dispatch sources may be cancelled from any thread.
    private final class SourceBox: @unchecked Sendable {
        private let sources: [any DispatchSourceSignal]
        init(_ sources: [any DispatchSourceSignal]) { self.sources = sources }
        func cancel() { for source in sources { source.cancel() } }
    }
}
