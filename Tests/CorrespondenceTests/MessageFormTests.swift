import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// What a recipient refuses of sealed parts (specs/correspondence.md, "Seal").
@Suite("A message's parts")
struct MessageFormTests {
    private let now = World.noon

    private func part(
        _ kind: MessageKind, _ index: UInt8, of count: UInt8, size: Int, sender: NetworkID, id: Bytes16 = Bytes16(),
        sent: Timestamp? = nil
    ) -> SealedFragment {
        SealedFragment(
            sender: sender, messageID: id, kind: kind, index: index, count: count, sent: sent ?? now,
            part: [UInt8](repeating: index, count: size))
    }

    @Test("have one form: full up to the last, no more than a message may be long; a receipt is one to 64 IDs")
    func sizes() throws {
        var entropy = Entropy(seed: 60)
        let sender = Identity(&entropy)
        let recipient = Identity(&entropy)
        let full = SealedFragment.partLimit
        let rest = SealedFragment.bodyLimit - 55 * full
        #expect(SealedFragment.countLimit == 56)
        let cases: [(MessageKind, UInt8, UInt8, Int, isTaken: Bool)] = [
            (.text, 0, 1, 0, true), (.text, 0, 1, 5, true), (.text, 0, 1, full, true),
            (.text, 0, 2, full, true), (.text, 1, 2, 1, true), (.text, 1, 2, full, true),
            (.text, 55, 56, rest, true), (.receipt, 0, 1, 16, true),
            (.receipt, 0, 1, 32, true), (.receipt, 0, 1, 1024, true), (.receipt, 0, 1, 1040, false),
            (.text, 0, 2, full - 1, false), (.text, 0, 2, 0, false), (.text, 1, 2, 0, false),
            (.text, 55, 56, rest + 1, false), (.text, 0, 57, full, false), (.text, 0, 0, 5, false),
            (.text, 1, 1, 5, false), (.text, 2, 1, 5, false),
            (.receipt, 0, 1, 15, false), (.receipt, 0, 1, 17, false), (.receipt, 0, 1, 0, false),
            (.receipt, 0, 2, 16, false), (.receipt, 1, 2, 16, false),
        ]
        for (kind, index, count, size, isTaken) in cases {
            let blob = try part(kind, index, of: count, size: size, sender: sender.id).seal(
                to: recipient.id, key: recipient.sealing.publicKey, sender: sender.user, entropy: &entropy)
            let opened = try? SealedFragment(opening: blob, recipient: recipient.id, key: recipient.sealing)
            #expect((opened != nil) == isTaken, "\(kind), \(index) of \(count), \(size) bytes")
        }
    }

    @Test("that differ in number or time are of different messages, and the first that is whole stays")
    func mixed() throws {
        var entropy = Entropy(seed: 61)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let sender = NetworkID(key: VerifyingKey(entropy.bytes()))
        let id: Bytes16 = entropy.bytes()
        let later = now.adding(milliseconds: 1)
        func take(_ index: UInt8, of count: UInt8, _ sent: Timestamp) throws -> Inbox.Outcome {
            try inbox.take(
                part(.text, index, of: count, size: 9, sender: sender, id: id, sent: sent), AgentConfiguration(),
                now: now, &store)
        }
        for (index, count, sent) in [(0, 2, now), (1, 3, now), (1, 2, later)] as [(UInt8, UInt8, Timestamp)] {
            guard case .partial = try take(index, of: count, sent) else {
                Issue.record("parts of two messages were put together")
                return
            }
        }
        guard case .stored(let message) = try take(1, of: 2, now) else {
            Issue.record("not whole")
            return
        }
        #expect(
            message.sent == now && message.body == [UInt8](repeating: 0, count: 9) + [UInt8](repeating: 1, count: 9))
        guard case .duplicate = try take(0, of: 2, later) else {
            Issue.record("a second message of one ID")
            return
        }
    }
}
