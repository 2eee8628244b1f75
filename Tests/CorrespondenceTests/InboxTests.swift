import Home
import Primitives
import Records
import Storage
import Testing
import Wire

@testable import Correspondence

/// Parts of messages whose other parts do not come.
@Suite struct InboxTests {
    let now = World.noon
    var configuration = AgentConfiguration()

    func fragment(
        _ sender: NetworkID, _ message: Bytes16, _ index: UInt8, of count: UInt8, sent: Timestamp? = nil
    ) -> SealedFragment {
        SealedFragment(
            sender: sender, messageID: message, kind: .text, index: index, count: count, sent: sent ?? now,
            part: [index])
    }

    @Test("one sender's parts of incomplete messages are bounded and leave room for others")
    func perSender() throws {
        var entropy = Entropy(seed: 50)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let flooder = NetworkID(key: VerifyingKey(entropy.bytes()))
        for _ in 0..<300 {
            _ = try inbox.take(fragment(flooder, entropy.bytes(), 0, of: 2), configuration, now: now, &store)
        }
        #expect(inbox.fragmentCount == Inbox.senderLimit)
        let other = NetworkID(key: VerifyingKey(entropy.bytes()))
        let message: Bytes16 = entropy.bytes()
        for index in [2, 0, 1] as [UInt8] {
            let outcome = try inbox.take(fragment(other, message, index, of: 3), configuration, now: now, &store)
            switch (index, outcome) {
            case (2, .partial), (0, .partial): break
            case (1, .stored(let whole)): #expect(whole.body == [0, 1, 2])
            default: Issue.record("\(outcome)")
            }
        }
        #expect(inbox.fragmentCount == Inbox.senderLimit)
    }

    @Test("parts that nobody completes are forgotten after the lifetime of a message, after a restart too")
    mutating func expiry() throws {
        configuration.fragmentLimit = 1
        var entropy = Entropy(seed: 51)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let sender = NetworkID(key: VerifyingKey(entropy.bytes()))
        _ = try inbox.take(fragment(sender, entropy.bytes(), 0, of: 2), configuration, now: now, &store)
        guard
            case .noRoom = try inbox.take(fragment(sender, entropy.bytes(), 0, of: 2), configuration, now: now, &store)
        else {
            Issue.record("taken beyond the limit")
            return
        }
        inbox = try Inbox(store)
        try inbox.expire(configuration, now: now.adding(milliseconds: configuration.messageLifetime), &store)
        #expect(inbox.fragmentCount == 1)
        try inbox.expire(configuration, now: now.adding(milliseconds: configuration.messageLifetime + 1), &store)
        #expect(inbox.fragmentCount == 0)
        #expect(try store.count(Inbox.fragments) == 0)
    }

    @Test("a full inbox takes nothing more until some of it is deleted, and no number is given twice")
    mutating func full() throws {
        configuration.inboxLimit = 10 * 1024
        var entropy = Entropy(seed: 53)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let sender = NetworkID(key: VerifyingKey(entropy.bytes()))
        var taken: [Bytes16] = []
        for _ in 0..<1000 {
            let message: Bytes16 = entropy.bytes()
            let outcome = try inbox.take(fragment(sender, message, 0, of: 1), configuration, now: now, &store)
            if case .stored = outcome { taken.append(message) } else { break }
        }
        #expect((10..<100).contains(taken.count))
        // What is there already is acknowledged again, however full it is.
        let known = try #require(taken.first)
        guard case .duplicate = try inbox.take(fragment(sender, known, 0, of: 1), configuration, now: now, &store)
        else {
            Issue.record("not recognised")
            return
        }
        let size = inbox.size
        inbox = try Inbox(store)
        #expect(inbox.size == size)

        #expect(try inbox.delete(.through(UInt64(taken.count)), &store) == taken.count)
        #expect(try Inbox.messages(store).isEmpty)
        inbox = try Inbox(store)
        guard case .duplicate = try inbox.take(fragment(sender, known, 0, of: 1), configuration, now: now, &store),
            case .stored(let next) = try inbox.take(
                fragment(sender, entropy.bytes(), 0, of: 1), configuration, now: now, &store)
        else {
            Issue.record("the room is not used, or a deleted message came again")
            return
        }
        #expect(next.number == UInt64(taken.count) + 1)
        #expect(try inbox.delete(.from(NetworkID(key: VerifyingKey(entropy.bytes()))), &store) == 0)
        #expect(try inbox.delete(.message(next.messageID), &store) == 1)
    }

    @Test("a message is recognised as long as it would be taken; a message of another time is dropped")
    func recognition() throws {
        var entropy = Entropy(seed: 54)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let sender = NetworkID(key: VerifyingKey(entropy.bytes()))
        let message = fragment(sender, entropy.bytes(), 0, of: 1)
        let last = now.adding(milliseconds: configuration.messageLifetime + Inbox.clockSkew)
        guard case .stored = try inbox.take(message, configuration, now: now, &store) else {
            Issue.record("not taken")
            return
        }
        try inbox.expire(configuration, now: last, &store)
        guard case .duplicate = try inbox.take(message, configuration, now: last, &store) else {
            Issue.record("shown twice")
            return
        }
        let size = inbox.size
        try inbox.expire(configuration, now: last.adding(milliseconds: 1), &store)
        #expect(inbox.size < size)
        guard case .dropped = try inbox.take(message, configuration, now: last.adding(milliseconds: 1), &store)
        else {
            Issue.record("shown twice")
            return
        }
        let early = now.adding(milliseconds: Inbox.clockSkew + 1)
        guard
            case .dropped = try inbox.take(
                fragment(sender, entropy.bytes(), 0, of: 1, sent: early), configuration, now: now, &store)
        else {
            Issue.record("taken from the future")
            return
        }
    }

    @Test("a sealed part opens for its recipient alone, and no bit of it can be changed")
    func seal() throws {
        var entropy = Entropy(seed: 52)
        let sender = Identity(&entropy)
        let recipient = Identity(&entropy)
        let sealed = SealedFragment(
            sender: sender.id, messageID: entropy.bytes(), kind: .text, index: 0, count: 1, sent: now,
            part: entropy.array(SealedFragment.partLimit))
        let blob = try sealed.seal(
            to: recipient.id, key: recipient.sealing.publicKey, sender: sender.user, entropy: &entropy)
        #expect(blob.count == HomeRequest.Delivery.blobLimit)
        #expect(try SealedFragment(opening: blob, recipient: recipient.id, key: recipient.sealing) == sealed)
        #expect(throws: SealError.wrongSeal) {
            try SealedFragment(opening: blob, recipient: recipient.id, key: sender.sealing)
        }
        // Somebody who opened it cannot pass it on as sealed to another ID.
        #expect(throws: SealError.wrongSignature) {
            try SealedFragment(opening: blob, recipient: sender.id, key: recipient.sealing)
        }
        for byte in stride(from: 0, to: blob.count, by: 13) {
            var changed = blob
            changed[byte] ^= 1 << UInt8(entropy.below(8))
            if byte == 31 { continue }
            #expect(throws: SealError.self) {
                try SealedFragment(opening: changed, recipient: recipient.id, key: recipient.sealing)
            }
        }
        for size in [0, 1, 31, 32, 47, 48, 200] {
            #expect(throws: SealError.self) {
                try SealedFragment(
                    opening: entropy.array(size), recipient: recipient.id, key: recipient.sealing)
            }
        }
    }

    @Test("messages are shown as they came, one sender's as he wrote them; no clock puts a message behind later ones")
    func order() {
        var entropy = Entropy(seed: 160)
        let senders = (0..<2).map { _ in NetworkID(key: SigningKey(&entropy).publicKey) }
        let start = World.noon
        // Sender, seconds of his clock, seconds of its arrival.
        let rows: [(Int, UInt64, UInt64)] = [
            // His third overtook the second; another's clock is a day ahead at first, and a day behind later.
            (0, 10, 20), (0, 14, 21), (1, 86_400, 22), (0, 12, 23), (1, 24, 200), (1, 0, 300),
        ]
        let messages = rows.enumerated().map { number, row in
            StoredMessage(
                number: UInt64(number), messageID: entropy.bytes(), sender: senders[row.0],
                sent: start.adding(seconds: row.1), received: start.adding(seconds: row.2), body: [])
        }
        #expect(StoredMessage.inOrder(messages.reversed()).map(\.number) == [0, 3, 5, 1, 4, 2])
        #expect(messages[2].shown == start.adding(seconds: 142) && messages[0].shown == messages[0].sent)
    }
}
