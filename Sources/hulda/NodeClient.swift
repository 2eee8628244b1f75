import Federation
import FoundationEssentials
import NIOPosix
import Node
import Records
import Terminal
import Transport

/// Asks a running node over its socket.
struct NodeClient {
    let configuration: NodeConfiguration

    init(_ configuration: NodeConfiguration) { self.configuration = configuration }

    func ask(_ request: NodeRequest, within seconds: Int64 = 10) async throws -> [UInt8] {
        let group = MultiThreadedEventLoopGroup.singleton
        do {
            return try await ControlSocket.ask(
                path: NodeFiles.socketPath(configuration), Array(request.text.utf8), group: group,
                timeout: .seconds(seconds))
        } catch let stranger as ControlSocket.Foreign {
            throw Failure(
                "what listens in \(configuration.dataDirectory) is a process of user \(stranger.uid), not the node",
                next:
                    "Find out who it is: ps -u \(stranger.uid). The node's directory must be writable by its user alone.",
                code: SysExit.noPermission)
        } catch {
            throw Failure(
                "the node \(configuration.clusterName) does not answer",
                next: "Start it: hulda node run, with the same --config.",
                code: SysExit.unavailable)
        }
    }

    func status() async throws -> NodeStatus { try await decode(ask(.status)) }

    func map(matching question: String) async throws -> NodeMap { try await decode(ask(.map(matching: question))) }

    func peers() async throws -> NodePeers { try await decode(ask(.peers)) }

    func resolve(_ id: NetworkID) async throws -> NodeResolution {
        let line = try await ask(.resolve(id), within: Int64(NodeResolution.deadline / 1000) + 3)
        let refused = try? JSONDecoder().decode([String: NodeResolution.Refusal].self, from: Data(line))
        switch refused?["refused"] {
        case nil: return try decode(line)
        case .busy:
            throw Failure(
                "the node has too many lookups or calls under way", next: "Try again in some seconds.",
                code: SysExit.temporary)
        case .late:
            throw Failure(
                "the node did not end the lookup in time",
                next: "See what it is busy with: hulda node status, with the same --config, and its log.",
                code: SysExit.temporary)
        case .invalidID:
            throw Failure(
                "\(id) stands for no key: nobody can publish under it", next: "Ask its owner for the ID again.",
                code: SysExit.usage)
        }
    }

    /// A proof of membership that holds, as a file.
    func membership(of question: String) async throws -> (file: [UInt8], proof: SnapshotMembership) {
        let line = try await ask(.prove(question))
        if let refused = try? JSONDecoder().decode([String: MembershipRefusal].self, from: Data(line))["refused"] {
            throw NodeClient.failure(refused, question)
        }
        let answer: [String: Data] = try decode(line)
        let file = Array(answer["membership"] ?? Data())
        do throws(SnapshotMembership.Failure) {
            let proof = try SnapshotMembership(decoding: file)
            try proof.verify()
            return (file, proof)
        } catch {
            throw Failure(
                "the node's proof does not hold: \(MembershipText.reason(error))",
                next: "Nothing was written. Use the same version of hulda for both, and look at the node's log.",
                code: SysExit.data)
        }
    }

    private static func failure(_ refusal: MembershipRefusal, _ question: String) -> Failure {
        let name = question.shown
        return switch refusal {
        case .noSnapshot:
            Failure(
                "the node has no snapshot that anybody signed",
                next: "Snapshots are signed ten minutes after midnight UTC, of servers that were there the day before. "
                    + "Try again then, or ask another node.",
                code: SysExit.temporary)
        case .unknown:
            Failure(
                "no cluster of the map is called \(name), and no key on it begins so",
                next: "Give a cluster's whole name, or eight digits of a cluster's or server's ID or more; "
                    + "see hulda node map.",
                code: SysExit.noHost)
        case .ambiguous:
            Failure(
                "there are several called \(name)", next: "Give more digits of the ID: hulda node map --json has them.",
                code: SysExit.usage)
        case .notIncluded:
            Failure(
                "\(name) is on the map and not in the snapshot",
                next:
                    "It came today, or has another link key since. Try again tomorrow, ten minutes after midnight UTC.",
                code: SysExit.temporary)
        }
    }

    private func decode<Answer: Decodable>(_ line: [UInt8]) throws -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(line))
        } catch {
            throw Failure(
                "the node's answer is of another version", next: "Use the same version of hulda for both.",
                code: SysExit.data)
        }
    }
}

/// Errors of the node in words, with the next step.
enum NodeFailureText {
    static func translate<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch { throw failure(error) }
    }

    static func failure(_ error: any Error) -> any Error {
        switch error {
        case let error as NodeError:
            switch error {
            case .configuration:
                Failure(
                    "\(error)", next: "hulda node init writes a file that explains every option.", code: SysExit.config)
            case .unreadable:
                Failure(
                    "\(error)", next: "See whether the file is there and you may read and write it.",
                    code: SysExit.noInput)
            case .exposed(let exposure):
                Failure("\(exposure)", next: exposure.remedy, code: SysExit.noPermission)
            case .inUse:
                Failure(
                    "\(error)", next: "Stop it first, or see what it does: hulda node status, with the same --config.",
                    code: SysExit.io)
            case .storage:
                Failure("\(error)", next: "Check free space and permissions.", code: SysExit.io)
            case .damagedStore:
                Failure(
                    "\(error)",
                    next:
                        "Restore the folders store and replay from a copy. Or move store/data.mdb away to begin with an empty "
                        + "store: accounts, waiting messages and records are lost then, the keys stay.",
                    code: SysExit.io)
            case .storeRemoved:
                Failure(
                    "\(error)",
                    next: "Nothing was accepted since. Restore the folder from a copy, and start the node again.",
                    code: SysExit.io)
            case .copied:
                // 78 is what systemd does not start again after.
                Failure(
                    "\(error)",
                    next: "Stop the copy there, then start this one. If the other is not yours, the keys are stolen: "
                        + "make a new server with hulda node init in an empty directory.", code: SysExit.config)
            case .addressInUse:
                Failure("\(error)", next: "See who listens: ss -ltnup", code: SysExit.os)
            case .cannotListen:
                Failure("\(error)", next: "Use an address of this machine in node.toml.", code: SysExit.os)
            }
        case KeyFile.Failure.exposed(let exposure):
            Failure("\(exposure)", next: exposure.remedy, code: SysExit.noPermission)
        case let error as KeyFile.Failure:
            Failure("\(error)", next: "Restore the key from a backup, or check permissions.", code: SysExit.noInput)
        default: error
        }
    }
}
