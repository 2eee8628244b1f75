import Envelope
import Primitives
import Testing
import Wire

@testable import Node

@Suite("A gateway's mailboxes")
struct MailboxesTests {
    private let noon = Timestamp(seconds: 20_000 * 86_400 + 43_200)
    private let reply = Mailboxes.Reply(id: Bytes16(), payload: [1])

    private func isClaimed(_ claim: Mailboxes.Claim) -> Bool {
        if case .claimed = claim { true } else { false }
    }

    /// Replies that waited; `nil` when the claim was refused.
    private func waiting(_ claim: Mailboxes.Claim) -> Int? {
        if case .claimed(_, let waiting) = claim { waiting.count } else { nil }
    }

    private func deliver(_ secret: Bytes32, _ mailboxes: inout Mailboxes, isWritable: Bool = true) -> UInt64? {
        mailboxes.deliver(reply, to: Mailbox.handle(of: secret)) { _ in isWritable }
    }

    @Test("are four for a link; a fifth is refused, and those of other links stay")
    func perLink() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 1)
        let honest: Bytes32 = entropy.bytes()
        #expect(isClaimed(mailboxes.claim(honest, link: 1, now: noon)))
        let claims = (0..<20_000).map { _ in isClaimed(mailboxes.claim(entropy.bytes(), link: 2, now: noon)) }
        #expect(claims.count { $0 } == 4)
        #expect(mailboxes.count == 5)
        #expect(mailboxes.refusedClaims == 19_996)
        #expect(deliver(honest, &mailboxes) == 1)
        #expect(isClaimed(mailboxes.claim(honest, link: 1, now: noon)))
        #expect(isClaimed(mailboxes.claim(entropy.bytes(), link: 3, now: noon)))
    }

    @Test("of a link that stands for weeks, those of the last days are there each day")
    func longLink() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 2)
        let secrets: [Bytes32] = (0..<30).map { _ in entropy.bytes() }
        for day in 1..<30 {
            let midnight = noon.adding(seconds: UInt64(day) * 86_400)
            #expect(isClaimed(mailboxes.claim(secrets[day], link: 1, now: midnight)))
            #expect(isClaimed(mailboxes.claim(secrets[day - 1], link: 1, now: midnight)))
            #expect(deliver(secrets[day], &mailboxes) == 1)
            #expect(deliver(secrets[day - 1], &mailboxes) == 1)
        }
        #expect(mailboxes.count == 4)
        #expect(mailboxes.refusedClaims == 0)
    }

    @Test("whose agents are away give way to others, the one who left first before the rest")
    func givingWay() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 3)
        let (first, last): (Bytes32, Bytes32) = (entropy.bytes(), entropy.bytes())
        #expect(isClaimed(mailboxes.claim(first, link: 1, now: noon)))
        mailboxes.disconnect(link: 1, now: noon)
        let links = UInt64(Mailboxes.mailboxLimit / 4)
        var later = noon.adding(seconds: 60)
        for link in 2..<2 + links {
            if link == 1 + links { later = later.adding(seconds: 60) }
            for _ in 0..<4 { _ = mailboxes.claim(entropy.bytes(), link: link, now: later) }
            mailboxes.disconnect(link: link, now: later)
        }
        #expect(mailboxes.count == Mailboxes.mailboxLimit)
        #expect(deliver(first, &mailboxes) == nil && mailboxes.droppedReplies == 1)
        // An agent that comes finds a place all the same.
        #expect(isClaimed(mailboxes.claim(last, link: 1, now: later)))
        #expect(mailboxes.count == Mailboxes.mailboxLimit)
        #expect(deliver(last, &mailboxes) == 1)
    }

    @Test("hold replies for an agent that is away, 64 of them for 30 minutes, and for whoever proves the secret only")
    func waiting() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 4)
        let secret: Bytes32 = entropy.bytes()
        _ = mailboxes.claim(secret, link: 1, now: noon)
        mailboxes.disconnect(link: 1, now: noon)
        for _ in 0..<200 { #expect(deliver(secret, &mailboxes) == nil) }
        #expect(mailboxes.waiting == 64 && mailboxes.droppedReplies == 136)
        #expect(waiting(mailboxes.claim(entropy.bytes(), link: 2, now: noon)) == 0)
        mailboxes.expire(now: noon.adding(seconds: 29 * 60))
        #expect(waiting(mailboxes.claim(secret, link: 2, now: noon)) == 64)
        #expect(mailboxes.waiting == 0)
        mailboxes.disconnect(link: 2, now: noon)
        _ = deliver(secret, &mailboxes)
        mailboxes.expire(now: noon.adding(seconds: 30 * 60))
        #expect(mailboxes.count == 0 && mailboxes.waiting == 0)
    }

    @Test("that are away by a clock that was ahead are kept for as long as any")
    func clockBack() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 5)
        let secret: Bytes32 = entropy.bytes()
        _ = mailboxes.claim(secret, link: 1, now: noon.adding(seconds: 86_400))
        mailboxes.disconnect(link: 1, now: noon.adding(seconds: 86_400))
        mailboxes.expire(now: noon)
        mailboxes.expire(now: noon.adding(seconds: 29 * 60))
        #expect(mailboxes.count == 1)
        mailboxes.expire(now: noon.adding(seconds: 30 * 60))
        #expect(mailboxes.count == 0)
    }

    @Test("have one bound for all replies, in which many full ones leave room for the next")
    func commonBound() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 6)
        for link in 0..<1000 as Range<UInt64> {
            let secret: Bytes32 = entropy.bytes()
            _ = mailboxes.claim(secret, link: link, now: noon)
            for _ in 0..<150 { _ = deliver(secret, &mailboxes, isWritable: false) }
        }
        #expect(mailboxes.waiting < Mailboxes.capacity)
        let honest: Bytes32 = entropy.bytes()
        _ = mailboxes.claim(honest, link: 9000, now: noon)
        for _ in 0..<6 { _ = deliver(honest, &mailboxes, isWritable: false) }
        #expect(mailboxes.drain(link: 9000).count == 6)
        for link in 0..<2000 as Range<UInt64> { _ = mailboxes.drain(link: link) }
        #expect(mailboxes.waiting == 0)
    }

    @Test("go to the link that claimed last, and leave with no other")
    func takenOver() {
        var mailboxes = Mailboxes()
        var entropy = Entropy(seed: 7)
        let secret: Bytes32 = entropy.bytes()
        _ = mailboxes.claim(secret, link: 1, now: noon)
        _ = mailboxes.claim(secret, link: 2, now: noon)
        mailboxes.disconnect(link: 1, now: noon)
        #expect(deliver(secret, &mailboxes) == 2)
        #expect(mailboxes.linkCount == 1)
    }
}
