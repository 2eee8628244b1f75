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

    func fragment(_ sender: NetworkID, _ message: Bytes16, _ index: UInt8, of count: UInt8) -> SealedFragment {
        SealedFragment(
            sender: sender, messageID: message, kind: .text, index: index, count: count, sent: now, part: [index])
    }

    @Test("one sender's parts of incomplete messages are bounded and leave room for others")
    func perSender() throws {
        var entropy = Entropy(seed: 50)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let flooder = NetworkID(key: VerifyingKey(entropy.bytes()))
        for _ in 0..<300 {
            _ = try inbox.take(fragment(flooder, entropy.bytes(), 0, of: 2), limit: 4096, now: now, &store)
        }
        #expect(inbox.fragmentCount == Inbox.senderLimit)
        let other = NetworkID(key: VerifyingKey(entropy.bytes()))
        let message: Bytes16 = entropy.bytes()
        for index in [2, 0, 1] as [UInt8] {
            let outcome = try inbox.take(fragment(other, message, index, of: 3), limit: 4096, now: now, &store)
            switch (index, outcome) {
            case (2, .partial), (0, .partial): break
            case (1, .stored(let whole)): #expect(whole.body == [0, 1, 2])
            default: Issue.record("\(outcome)")
            }
        }
        #expect(inbox.fragmentCount == Inbox.senderLimit)
    }

    @Test("parts that nobody completes are forgotten after the lifetime of a message, after a restart too")
    func expiry() throws {
        var entropy = Entropy(seed: 51)
        var store = MemoryStore()
        var inbox = try Inbox(store)
        let sender = NetworkID(key: VerifyingKey(entropy.bytes()))
        _ = try inbox.take(fragment(sender, entropy.bytes(), 0, of: 2), limit: 1, now: now, &store)
        guard case .noRoom = try inbox.take(fragment(sender, entropy.bytes(), 0, of: 2), limit: 1, now: now, &store)
        else {
            Issue.record("taken beyond the limit")
            return
        }
        inbox = try Inbox(store)
        try inbox.expire(before: now, &store)
        #expect(inbox.fragmentCount == 1)
        try inbox.expire(before: now.adding(milliseconds: 1), &store)
        #expect(inbox.fragmentCount == 0)
        #expect(try store.count(Inbox.fragments) == 0)
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
}
