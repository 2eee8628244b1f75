import Envelope
import Foundation
import Primitives
import Records
import SecondImplementation
import Testing
import Wire

@testable import Correspondence
@testable import Home

/// What crosses a gateway and a home against specs/vectors/delivery.json, which Tests/Peers/delivery.py wrote.
@Suite("Mailboxes, messages and requests to a home of another implementation")
struct DeliveryVectorTests {
    private let made: DeliveryVectors

    init() throws { made = try Peer.vectors("delivery") }

    @Test("a mailbox has the same secret and handle")
    func mailboxes() throws {
        #expect(made.mailboxes.count == 2)
        for mailbox in made.mailboxes {
            let secret = Identity.mailboxSecret(
                from: try secret(mailbox.mailboxKey), gateway: try fixed(mailbox.gateway),
                epoch: try #require(UInt64(mailbox.epoch)))
            #expect(secret.hex == mailbox.secret)
            #expect(Mailbox.handle(of: secret).hex == mailbox.handle)
        }
    }

    @Test("a sealed part opens, and is the same when we seal it with the same ephemeral key")
    func messages() throws {
        #expect(made.messages.count == 5)
        for message in made.messages {
            let sender = try signingKey(message.senderSeed)
            let recipient = NetworkID(key: try signingKey(message.recipientSeed).publicKey)
            let sealing = try X25519PrivateKey(try secret(message.sealingPrivate))
            #expect(sender.publicKey.bytes.hex == message.sender)
            #expect(recipient.key.bytes.hex == message.recipient)
            #expect(sealing.publicKey.bytes.hex == message.sealingKey)
            let index = try #require(UInt8(message.index))
            let part = SealedFragment(
                sender: NetworkID(key: sender.publicKey), messageID: try fixed(message.messageID),
                kind: try #require(UInt8(message.kind).flatMap { MessageKind(rawValue: $0) }), index: index,
                count: try #require(UInt8(message.count)),
                sent: Timestamp(milliseconds: try #require(UInt64(message.time))), part: try bytes(message.part))
            let blob = try part.seal(
                to: recipient, key: sealing.publicKey, sender: sender,
                ephemeral: try X25519PrivateKey(try secret(message.ephemeralPrivate)))
            #expect(Hex.encode(blob) == message.blob)
            #expect(message.blob.hasPrefix(message.ephemeral))
            let opened = try SealedFragment(opening: try bytes(message.blob), recipient: recipient, key: sealing)
            #expect(opened == part)
            #expect(SealedFragment.deliveryID(part.messageID, index).hex == message.fragmentID)
        }
    }

    @Test("requests to attach are signed and laid out the same, with the reply blocks beside them")
    func attachments() throws {
        #expect(made.attach.count == 3)
        for attach in made.attach {
            let key = try signingKey(attach.accountSeed)
            let account: Bytes16 = try fixed(attach.account)
            #expect(Account.id(of: key.publicKey) == account)
            let blocks = try bytes(attach.replyBlocks)
            #expect(BLAKE2b.h(Domain("hulda/home-blk"), blocks).hex == attach.replyBlocksHash)
            let request = HomeRequest.attach(
                home: try fixed(attach.home), account: account, counter: try #require(UInt64(attach.counter)),
                isReturning: attach.flags == "1", acknowledged: try attach.items.map { try #require(UInt64($0)) },
                blocks: blocks, key: key)
            #expect(Hex.encode(request.encode()) == attach.request)
            #expect(try HomeRequest(decoding: try bytes(attach.request)) == request)
            let content = try ServiceRequest(decoding: try bytes(attach.envelopeContent))
            #expect(content.service == .home && content.body == request.encode())
            #expect(Hex.encode(content.encode()) == attach.envelopeContent)
            #expect(content.replyBlocks.count * ReplyBlock.encodedSize == blocks.count)
        }
    }

    @Test("requests to deliver and to name are laid out and signed the same")
    func requests() throws {
        for deliver in made.deliver {
            let request = HomeRequest.deliver(
                HomeRequest.Delivery(
                    account: try fixed(deliver.account), messageID: try fixed(deliver.messageID),
                    blob: try bytes(deliver.blob)))
            #expect(Hex.encode(request.encode()) == deliver.request)
            #expect(try HomeRequest(decoding: try bytes(deliver.request)) == request)
        }
        for name in made.name {
            let pointer = try bytes(name.pointer)
            let request = HomeRequest.name(
                home: try fixed(name.home), account: try fixed(name.account),
                counter: try #require(UInt64(name.counter)), epoch: try #require(UInt64(name.epoch)),
                label: try fixed(name.label), pointer: name.flags == "1" ? nil : pointer,
                key: try signingKey(name.accountSeed))
            #expect(Hex.encode(request.encode()) == name.request)
            #expect(try HomeRequest(decoding: try bytes(name.request)) == request)
        }
    }

    @Test("every answer of a home is laid out the same, with each reason for a refusal")
    func answers() throws {
        let vectors = made.answers
        let account: Bytes16 = try fixed(vectors.account)
        let messageID: Bytes16 = try fixed(vectors.messageID)
        let label: Bytes32 = try fixed(vectors.label)
        let item = HomeAnswer.Item(
            number: 1 << 40, pending: 7, messageID: messageID, blob: try bytes(vectors.blob))
        let expected: [(HomeAnswer, String)] = [
            (.registered(account: account), vectors.registered),
            (.attached(pending: 1000, blocks: 12), vectors.attached),
            (.item(item), vectors.item), (.accepted(messageID: messageID), vectors.accepted),
            (.takenOver(serial: 3), vectors.takenOver), (.closed(account: account), vectors.closed),
            (.named(label: label, record: try bytes(vectors.record)), vectors.named),
            (.released(label: label, record: try bytes(vectors.record)), vectors.released),
            (.released(label: label, record: []), vectors.releasedBefore),
        ]
        for (answer, hex) in expected {
            #expect(Hex.encode(answer.encode()) == hex)
            #expect(try HomeAnswer(decoding: try bytes(hex)) == answer)
        }
        #expect(vectors.refused.count == HomeAnswer.Refusal.allCases.count)
        for (reason, hex) in zip(HomeAnswer.Refusal.allCases, vectors.refused) {
            #expect(Hex.encode(HomeAnswer.refused(reason).encode()) == hex)
            #expect(try HomeAnswer(decoding: try bytes(hex)) == .refused(reason))
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("delivery").writesVectors()) }

    private func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }

    private func fixed<Value: FixedBytes>(_ hex: String) throws -> Value { try #require(Value(bytes(hex))) }

    private func secret(_ hex: String) throws -> SecretBytes {
        var bytes = try bytes(hex)
        return SecretBytes(taking: &bytes)
    }

    private func signingKey(_ hex: String) throws -> SigningKey { try SigningKey(seed: try secret(hex)) }
}

/// What specs/vectors/delivery.json holds; specs/vectors/README.md explains the fields.
private struct DeliveryVectors: Decodable {
    let mailboxes: [Mailbox]
    let messages: [Message]
    let attach: [Attach]
    let deliver: [Deliver]
    let name: [Name]
    let answers: Answers

    struct Mailbox: Decodable {
        let mailboxKey, gateway, epoch, secret, handle: String
    }

    struct Message: Decodable {
        let senderSeed, sender, recipientSeed, recipient, sealingPrivate, sealingKey, ephemeralPrivate: String
        let ephemeral, messageID, kind, index, count, time, part, blob, fragmentID: String
    }

    struct Attach: Decodable {
        let accountSeed, account, home, counter, flags, replyBlocks, replyBlocksHash, request: String
        let envelopeContent: String
        let items: [String]
    }

    struct Deliver: Decodable {
        let account, messageID, blob, request: String
    }

    struct Name: Decodable {
        let accountSeed, account, home, counter, flags, epoch, label, pointer, request: String
    }

    struct Answers: Decodable {
        let account, messageID, label, record, blob: String
        let registered, attached, item, accepted, takenOver, closed, named, released, releasedBefore: String
        let refused: [String]
    }
}
