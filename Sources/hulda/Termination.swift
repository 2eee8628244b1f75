import Dispatch
import Glibc

/// The operator's wish that the program ends.
enum Termination {
    /// Returns when SIGTERM or SIGINT arrives.
    static func wait() async {
        signal(SIGPIPE, SIG_IGN)
        let signals = AsyncStream<Void> { continuation in
            let sources = [SIGTERM, SIGINT].map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { continuation.yield() }
                source.resume()
                return source
            }
            let kept = SourceBox(sources)
            continuation.onTermination = { _ in kept.cancel() }
        }
        for await _ in signals { return }
    }

    /// Keeps the sources alive as long as somebody waits. Dispatch sources may be cancelled from any thread.
    private final class SourceBox: @unchecked Sendable {
        private let sources: [any DispatchSourceSignal]
        init(_ sources: [any DispatchSourceSignal]) { self.sources = sources }
        func cancel() { for source in sources { source.cancel() } }
    }
}
