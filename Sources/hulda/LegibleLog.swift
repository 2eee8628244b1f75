import Logging
import Terminal

/// A log in which nothing but legible characters stands: names of clusters, addresses and errors come from others.
struct LegibleLog: LogHandler {
    /// Cells of a message or a value; a line of the log is not cut in the middle of what it says.
    private static let limit = 400

    private var inner: any LogHandler

    init(_ inner: any LogHandler) { self.inner = inner }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(ForeignText.inline(event.message.description, limit: LegibleLog.limit))"
        event.metadata = event.metadata?.mapValues(LegibleLog.legible)
        inner.log(event: event)
    }

    private static func legible(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
        switch value {
        case .string(let text): .string(ForeignText.inline(text, limit: limit))
        case .stringConvertible(let value): .string(ForeignText.inline(value.description, limit: limit))
        case .array(let values): .array(values.map(legible))
        case .dictionary(let values): .dictionary(values.mapValues(legible))
        }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue.map(LegibleLog.legible) }
    }

    var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue.mapValues(LegibleLog.legible) }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { inner.metadataProvider }
        set { inner.metadataProvider = newValue }
    }

    var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }
}
