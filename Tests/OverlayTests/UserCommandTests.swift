import Foundation
import Logging
import Testing

@testable import hulda

/// The users' commands as far as they need no network.
@Suite(.serialized) struct UserCommandTests {
    private static let peer =
        "hulda-peer:huldap1ewd8nkgqyn6c6qpapppa8v0z0vdphayy8vu3ffwutuwhg5lllv325est4u0fv2mtlhznavxvsp6cm3zm8xmp6fru0txh7kf6xjejyscurvxjd@127.21.0.1:7411"
    private static let id = "hulda1q9mu4s4wvgj3hpcy34xftz75m5za0ugm0l5sgqxdr3wexajp05rg2em9tn8"

    private func folder() throws -> (Folder, list: String) {
        let folder = try Folder()
        let path = folder.path + "/list"
        try UserCommandTests.peer.write(toFile: path, atomically: true, encoding: .utf8)
        return (folder, path)
    }

    @Test("a link in capital letters, as a QR code has it, and an ID with blanks around it are taken")
    func links() throws {
        let id = UserCommandTests.id
        for text in [
            "HULDA:" + id.uppercased(), id.uppercased(), " \(id) \n", "\t hulda:\(id)?n=Ada ", "hulda:\(id)",
        ] {
            let output = try Program.run(["id", "show", "--no-qr", text])
            #expect(output.status == 0 && output.text.hasPrefix(id), "\(text): \(output.errors)")
        }
        for (text, place) in [
            ("hulda:\(id)?%%%=&&&==#frag", "73"), ("hulda:\(id)#frag", "character 66"),
            ("Hulda1" + id.dropFirst(6), "mixes capital and small letters"),
        ] {
            let output = try Program.run(["id", "show", text])
            #expect(output.status == 64 && output.errors.contains(place), "\(text): \(output.errors)")
        }
    }

    @Test(
        "no argument reaches the terminal with its escape sequences, and none is repeated at its whole length",
        arguments: [
            ["id", "show"], ["resolve"], ["send"], ["register", "--home"], ["node", "status", "--config"],
            ["id", "new", "--bootstrap"], ["inbox", "--delete"], ["help"], ["audit", "evidence"], ["--"], ["testbed"],
            ["id", "name"],
        ])
    func arguments(_ command: [String]) throws {
        let (folder, list) = try folder()
        let home = ["HULDA_HOME": folder.path + "/agent", "HULDA_PASSPHRASE": "x y z", "HULDA_BIND": "192.0.2.1"]
        _ = try Program.run(["id", "new", "--bootstrap", list, "--fast-passphrase"], environment: home)
        for evil in [
            "\u{1B}]0;pwn\u{7}\u{1B}[31m\u{9B}31m\u{202E}\nhulda: all is well", String(repeating: "x", count: 5000),
        ] {
            for json in [[], ["--json"]] where !(command == ["--"] && json == ["--json"]) {
                let output = try Program.run(command + [evil] + json, environment: home)
                #expect(output.status != 0)
                for text in [output.text, output.errors] {
                    let isClean = text.unicodeScalars.allSatisfy {
                        $0 == "\n" || ![.control, .format].contains($0.properties.generalCategory)
                    }
                    #expect(isClean, "\(command): \(text.debugDescription)")
                    #expect(text.utf8.count < 1500 && !text.contains("\nhulda: all is well"), "\(command): \(text)")
                }
            }
        }
    }

    @Test("a failure in JSON has its keys in order and its slashes as they are, like a result")
    func failureInJSON() throws {
        let output = try Program.run(["inbox", "--json"], environment: ["HULDA_HOME": "/nowhere/agent"])
        #expect(output.status == 66)
        #expect(
            output.errors
                == #"{"error":"there is no identity in /nowhere/agent","next":"Make one: hulda id new --bootstrap FILE"}"#
                + "\n")
    }

    @Test("a mistyped command is answered with the nearest one; help about none is wrong use")
    func spelling() throws {
        for (words, nearest) in [
            (["sned"], "send"), (["id", "shwo"], "show"), (["help", "regster"], "register"),
            (["node", "pear", "add"], "peer"),
        ] {
            let output = try Program.run(words)
            #expect(
                output.status == 64 && output.errors.contains("Did you mean \u{201C}\(nearest)\u{201D}?"), "\(output)")
        }
        let nonsense = try Program.run(["help", "nonsense"])
        #expect(nonsense.status == 64 && nonsense.text.isEmpty && nonsense.errors.contains("nonsense"))
        #expect(try Program.run(["help", "id", "show"]).status == 0)
        #expect(Spelling.nearest(to: "Coral", among: ["coral", "delta"]) == "coral")
        #expect(Spelling.nearest(to: "cor", among: ["coral", "delta"]) == "coral")
        #expect(Spelling.nearest(to: "zzz", among: ["coral", "delta"]) == nil)
    }

    @Test("every exit code that the program has stands in its help")
    func exitCodes() throws {
        let help = try Program.run(["--help"]).text
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let source = try String(contentsOf: root.appendingPathComponent("Sources/hulda/Output.swift"), encoding: .utf8)
        let codes = source.matches(of: /ExitCode\((\d+)\)/).map { String($0.1) }
        #expect(codes.count == 13)
        for code in codes + ["130"] { #expect(help.contains("\(code) "), "\(code)") }
    }

    @Test("a cluster's name that could break a line is refused when the server is made and when it starts")
    func clusterNames() throws {
        let (folder, _) = try folder()
        for name in ["evil\u{1B}[31m", "a\nb", "a\u{202E}b", "", String(repeating: "n", count: 65), "a@b"] {
            let output = try Program.run([
                "node", "init", folder.path + "/n", "--name", name, "--listen", "127.0.31.9:7431",
            ])
            #expect(output.status == 78 && output.errors.contains("cluster_name"), "\(output.errors)")
            #expect(!output.errors.contains("\u{1B}"))
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/n/node.toml"))
        let made = try Program.run(
            ["node", "init", folder.path + "/n", "--name", "good", "--listen", "127.0.31.9:7431"])
        #expect(made.status == 0)
        let path = folder.path + "/n/node.toml"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try text.replacingOccurrences(of: "'good'", with: #""evil\u001b[31m""#).replacingOccurrences(
            of: "\"good\"", with: #""evil\u001b[31m""#
        ).write(toFile: path, atomically: true, encoding: .utf8)
        let run = try Program.run(["node", "run", "--config", path])
        #expect(run.status == 78 && !run.errors.contains("\u{1B}"), "\(run.errors)")
    }

    @Test("a log line keeps to one line, whatever a value holds")
    func log() {
        final class Lines: @unchecked Sendable { var all: [String] = [] }
        struct Recorder: LogHandler {
            let lines: Lines
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.info
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) {
                let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
                lines.all.append("\(all.sorted { $0.key < $1.key }) \(event.message)")
            }
        }
        let lines = Lines()
        var logger = Logger(label: "test", factory: { _ in LegibleLog(Recorder(lines: lines)) })
        logger[metadataKey: "cluster"] = "a\u{1B}[31m\nb"
        struct Name: CustomStringConvertible, Sendable { let description = "c\u{202E}\nd" }
        logger.info("e\nf", metadata: ["x": .array([.stringConvertible(Name())]), "y": ["z": "\u{9B}1m"]])
        #expect(lines.all.count == 1)
        #expect(
            lines.all[0].unicodeScalars.allSatisfy { ![.control, .format].contains($0.properties.generalCategory) })
        #expect(lines.all[0].contains(#"a\u{1b}[31m\nb"#) && lines.all[0].hasSuffix(#"e\nf"#), "\(lines.all)")
    }

    @Test("times are told in the local zone with its offset, and to programs in UTC")
    func times() throws {
        #expect(LocalTime.utc(0) == "1970-01-01T00:00:00Z")
        #expect(LocalTime.utc(1_796_094_029) == "2026-12-01T03:00:29Z")
        #expect(LocalTime.utc(.max) == "9999-12-31T23:59:59Z")
        #expect(LocalTime.text(1_796_094_029).wholeMatch(of: /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d/) != nil)
        #expect(!LocalTime.text(.max).isEmpty)
    }

    @Test("what is wrong besides the passphrase is told before anybody is asked for one")
    func beforeThePassphrase() throws {
        let (folder, list) = try folder()
        let home = ["HULDA_HOME": folder.path + "/agent"]
        let missing = try Program.run(["id", "new", "--bootstrap", folder.path + "/none"], environment: home)
        #expect(missing.status == 66, "\(missing.errors)")
        let key = folder.path + "/key"
        let variable = home.merging(["HULDA_KEY_FILE": key]) { _, new in new }
        #expect(try Program.run(["id", "new", "--bootstrap", list], environment: variable).status == 0)
        let without = try Program.run(["inbox", "--stored"], environment: home)
        #expect(without.status == 77 && without.errors.contains("--key-file"), "\(without.errors)")
        #expect(try Program.run(["inbox", "--stored"], environment: variable).status == 0)
        let again = try Program.run(["id", "new", "--bootstrap", list], environment: home)
        #expect(again.status == 73, "\(again.errors)")
    }

    @Test("a passphrase is asked for on the terminal; a wrong, empty, short, ended or interrupted answer is what it is")
    func prompt() throws {
        let (folder, list) = try folder()
        let home = ["HULDA_HOME": folder.path + "/agent"]
        let new = ["id", "new", "--bootstrap", list, "--fast-passphrase"]
        func ask(_ arguments: [String], _ answers: [String]) throws -> (status: Int32, text: String, echoes: Bool) {
            let pty = try Pty(arguments, environment: home)
            for answer in answers {
                try pty.expect(": ")
                #expect(!pty.echoes)
                pty.forget()
                pty.type(answer)
            }
            let status = try pty.end()
            return (status, pty.text, pty.echoes)
        }
        let empty = try ask(new, ["\r"])
        #expect(empty.status == 64 && empty.text.contains("empty") && empty.echoes)
        let interrupted = try ask(new, ["abc\u{3}"])
        #expect(interrupted.status == 130 && interrupted.echoes, "\(interrupted)")
        let ended = try ask(new, ["\u{4}"])
        #expect(ended.status == 64 && ended.echoes, "\(ended)")
        let differ = try ask(new, ["one passphrase\r", "another one\r"])
        #expect(differ.status == 64 && differ.text.contains("differ"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/agent/identity.json"))
        // Mistyped characters are taken back by the key for it, a line by Ctrl-U.
        let made = try ask(new, ["wrong\u{15}bu\u{E9}\u{7F}\u{7F}b\r", "bb\r"])
        #expect(made.status == 0 && made.text.contains("hulda1") && made.text.contains("of 2 characters"), "\(made)")
        #expect(!made.text.contains("bb"))
        #expect(try ask(["inbox", "--stored"], ["bb\r"]).status == 0)
        #expect(try ask(["inbox", "--stored"], ["no\r"]).status == 77)
    }

    @Test("Ctrl-Z at the prompt stops the command with the terminal as it was; continued, it asks again")
    func suspension() throws {
        let (folder, list) = try folder()
        let home = ["HULDA_HOME": folder.path + "/agent"]
        _ = try Program.run(
            ["id", "new", "--bootstrap", list, "--fast-passphrase"],
            environment: home.merging(["HULDA_PASSPHRASE": "a passphrase"]) { _, new in new })
        // A shell in between, as a session's leader cannot be stopped by its terminal.
        let pty = try Pty(
            ["-c", "set -m; \"$0\" inbox --stored; echo stopped; fg >/dev/null; echo \"ended $?\"", Program.path],
            environment: home, program: "/bin/sh")
        try pty.expect("Passphrase: ")
        pty.type("half\u{1A}")
        try pty.expect("stopped")
        try pty.expect("Passphrase: ")
        pty.type("a passphrase\r")
        try pty.expect("ended 0")
    }
}
