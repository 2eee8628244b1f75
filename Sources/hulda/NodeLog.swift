import FoundationEssentials
import Glibc
import Logging
import NIOConcurrencyHelpers

/// A server's log on standard error: one line an event, the message first, then its fields; or one JSON object.
struct NodeLog: LogHandler {
    /// From which level on events are logged: one for all loggers of the process, so that a reload changes it.
    final class Level: Sendable {
        private let value: NIOLockedValueBox<Logger.Level>

        init(_ name: String) { value = NIOLockedValueBox(Logger.Level(rawValue: name) ?? .info) }

        func set(_ name: String) {
            if let level = Logger.Level(rawValue: name) { value.withLockedValue { $0 = level } }
        }

        var current: Logger.Level { value.withLockedValue { $0 } }
    }

    private struct Line: Encodable {
        let time: String
        let level: String
        let message: String
        let fields: [String: String]
    }

    var metadata: Logger.Metadata = [:]
    private let level: Level
    private let isJSON: Bool

    init(_ level: Level, isJSON: Bool) {
        self.level = level
        self.isJSON = isJSON
    }

    var logLevel: Logger.Level {
        get { level.current }
        set { level.set(newValue.rawValue) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let line = NodeLog.line(
            at: Date(), event.level, "\(event.message)", all.mapValues { "\($0)" }, isJSON: isJSON)
        StandardStream.write(line + "\n", to: STDERR_FILENO)
    }

    /// What comes here is legible (``LegibleLog``), so a line stays one line.
    static func line(
        at time: Date, _ level: Logger.Level, _ message: String, _ fields: [String: String], isJSON: Bool
    ) -> String {
        let line = Line(
            time: time.formatted(.iso8601), level: level.rawValue, message: message,
            fields: fields)
        guard !isJSON else {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return (try? encoder.encode(line)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        }
        let words = fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(quoted($0.value))" }
        let padded = line.level + String(repeating: " ", count: max(0, 8 - line.level.count))
        return ([line.time, padded, line.message] + words).joined(separator: " ")
    }

    /// As it is, when it cannot be taken for several fields.
    private static func quoted(_ value: String) -> String {
        let isWord = !value.isEmpty && !value.contains { $0 == " " || $0 == "=" || $0 == "\"" }
        return isWord ? value : "\"" + value.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }
}
