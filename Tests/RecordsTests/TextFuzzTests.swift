import Fuzz
import Primitives
import Testing
import Wire

@testable import Records

@Suite("Texts and records under noise")
struct TextFuzzTests {
    @Test("what is read as an ID or a link is printed as one that reads the same; anything else is a typed error")
    func links() throws {
        var garbage = Garbage("links", seed: 301)
        let id = NetworkID(key: VerifyingKey(garbage.entropy.bytes()))
        let valid = [
            id.text, id.text.uppercased(), UserLink(id: id, token: nil, name: nil).text,
            UserLink(id: id, token: "a&b=c%", name: "Ada Byron, Grafin \u{1F600}").text, "hulda:?n=x",
            "hulda:\(id.text)?n=%zz",
        ]
        var accepted = 0
        for _ in 0..<4000 {
            let text = garbage.text(like: valid)
            do throws(NetworkIDError) {
                let link = try UserLink(text: text)
                #expect(try UserLink(text: link.text) == link)
                #expect(link.id == id)
                accepted += 1
            } catch { #expect(!"\(error)".isEmpty) }
            if let read = try? NetworkID(text: text) { #expect(read == id) }
        }
        #expect(accepted > 0)
    }

    @Test("a record's body, certificate and mix key are read as what they encode to, or refused")
    func bodies() throws {
        var garbage = Garbage("bodies", seed: 302)
        let key = SigningKey(&garbage.entropy)
        let certificate = ServerCertificate(server: VerifyingKey(garbage.entropy.bytes()), expiry: 9, cluster: key)
        let valid = [certificate.encode()]
        for _ in 0..<4000 {
            let bytes = garbage.bytes(like: valid)
            if let read = try? ServerCertificate(decoding: bytes) { #expect(read.encode() == bytes) }
            _ = try? RecordBody(decoding: garbage.entropy.array(garbage.entropy.below(400)))
        }
        #expect(try ServerCertificate(decoding: valid[0]) == certificate)
    }
}
