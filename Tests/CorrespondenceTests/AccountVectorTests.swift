import Foundation
import Home
import Primitives
import SecondImplementation
import Testing
import Wire

@testable import Correspondence

/// Account keys and requests against specs/vectors/account.json, which Tests/Peers/account.py wrote.
@Suite("Account keys of another implementation")
struct AccountVectorTests {
    private struct Case: Decodable {
        let userSeed, operationalSeed, successorSeed, home, token, incarnation, serial: String
        let accountKey, account, recoveryKey, commitment, register, newAccountKey, takeOver, close, discard: String
    }

    private struct File: Decodable { let cases: [Case] }

    private static func key(_ hex: String) throws -> SigningKey {
        var seed = try #require(Hex.decode(hex))
        return try SigningKey(seed: SecretBytes(taking: &seed))
    }

    @Test("keys, accounts and requests are the same as in the committed vectors")
    func vectors() throws {
        let cases = try Peer.vectors("account", as: File.self).cases
        #expect(cases.count == 3)
        for made in cases {
            let user = try AccountVectorTests.key(made.userSeed)
            let operational = try AccountVectorTests.key(made.operationalSeed)
            let successor = try AccountVectorTests.key(made.successorSeed)
            let home = try #require(Hex.decode(made.home).flatMap { Bytes32($0) })
            let token = String(decoding: try #require(Hex.decode(made.token)), as: UTF8.self)
            let incarnation = try #require(UInt64(made.incarnation))
            let domain = Domain("hulda/acct-key")
            let key = Identity.derive(from: operational, domain, home, incarnation)
            let recovery = Identity.derive(from: user, Domain("hulda/rec-key"), home, 0)
            let account = Account.id(of: key.publicKey)
            let commitment = Account.commitment(to: recovery.publicKey)
            #expect(key.publicKey.bytes.hex == made.accountKey)
            #expect(account.hex == made.account)
            #expect(recovery.publicKey.bytes.hex == made.recoveryKey)
            #expect(commitment.hex == made.commitment)
            let register = HomeRequest.register(home: home, token: token, recovery: commitment, key: key)
            #expect(Hex.encode(register.encode()) == made.register)
            let next = Identity.derive(from: successor, domain, home, incarnation).publicKey
            #expect(next.bytes.hex == made.newAccountKey)
            let takeOver = HomeRequest.takeOver(
                home: home, account: account, serial: try #require(UInt64(made.serial)), key: next, recovery: recovery)
            #expect(Hex.encode(takeOver.encode()) == made.takeOver)
            for (discards, expected) in [(false, made.close), (true, made.discard)] {
                let closing = HomeRequest.close(home: home, account: account, discards: discards, recovery: recovery)
                #expect(Hex.encode(closing.encode()) == expected)
            }
        }
    }

    @Test("Python writes the committed vectors again", .enabled(if: Peer.isWanted, "HULDA_PYTHON is not set"))
    func vectorFile() throws { #expect(try Peer("account").writesVectors()) }
}
