import Correspondence
import Primitives

/// Messages as they are printed: who, when, and the text, each line of which has the mark of foreign text.
enum InboxText {
    static func show(_ messages: [StoredMessage], _ output: OutputOptions) {
        for message in StoredMessage.inOrder(messages) {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                ReceivedReport(
                    from: message.sender.text, id: message.messageID.hex, sent: LocalTime.utc(message.sent.seconds),
                    received: LocalTime.utc(message.received.seconds), text: text)
            ) {
                """
                From \(message.sender.text)
                \(LocalTime.text(message.shown.seconds)), message \(message.messageID.short)
                \(OutputOptions.message(text))
                """
            }
        }
    }

    static func show(_ messages: [SentMessage], _ output: OutputOptions) {
        for message in messages {
            let text = String(decoding: message.body, as: UTF8.self)
            output.print(
                SentReport(
                    to: message.recipient.text, id: message.messageID.hex,
                    created: LocalTime.utc(message.created.seconds), state: "\(message.state)", text: text)
            ) {
                """
                To \(message.recipient.text)
                \(LocalTime.text(message.created.seconds)), message \(message.messageID.short), \(message.state)
                \(OutputOptions.message(text))
                """
            }
        }
    }
}

extension Bytes16 {
    /// The beginning of a message's ID that people read and type.
    var short: String { String(hex.prefix(InboxDeletion.prefixLength)) }
}
