import Directory
import Primitives
import Records
import Wire

/// Lookups that the operator asks for.
extension CoreOwner {
    typealias Seeker = (Result<NodeResolution, NodeResolution.Refusal>) -> Void

    /// - Parameter tell: called once, on this loop.
    func lookUp(_ id: NetworkID, _ request: UInt64, _ tell: @escaping Seeker) {
        // The directory has fewer under way: this bounds what waits for the loop.
        guard seekers.count < 2 * DirectoryCore.lookupLimit else { return tell(.failure(.busy)) }
        seekers[request] = tell
        handle(.directory(.lookUp(request: request, id)))
    }

    func lookedUp(_ request: UInt64, _ result: Result<LookupReport, LookupRefusal>) {
        guard let tell = seekers.removeValue(forKey: request) else { return }
        switch result {
        case .success(let report): tell(.success(resolution(report, at: .now())))
        case .failure(.busy): tell(.failure(.busy))
        case .failure(.invalidID): tell(.failure(.invalidID))
        }
    }

    /// The deadline of a request has come.
    func giveUp(_ request: UInt64) { seekers.removeValue(forKey: request)?(.failure(.late)) }

    /// Answers whoever waits for a lookup, before the node stops.
    func giveUpLookups() async {
        await withCheckedContinuation { continuation in
            loop.execute {
                for request in self.seekers.keys.sorted() { self.giveUp(request) }
                continuation.resume()
            }
        }
    }

    private func resolution(_ report: LookupReport, at now: Timestamp) -> NodeResolution {
        var answers = Dictionary(uniqueKeysWithValues: LookupReport.Answer.allCases.map { ($0.rawValue, 0) })
        for holder in report.holders { answers[holder.answer.rawValue, default: 0] += 1 }
        var resolution = NodeResolution(
            id: report.id.text, result: .unanswered, epoch: report.epoch, milliseconds: report.milliseconds,
            hops: 1 + (report.searchRounds ?? 0), usedSearch: report.searchRounds != nil,
            judgedByTimes: report.isJudgedByTimes, knowsPlaces: directory.random.values[report.epoch] != nil,
            answers: answers, record: nil,
            holders: report.holders.map { holder in
                .init(
                    place: place(holder.node), ring: holder.ring + 1, answer: holder.answer,
                    milliseconds: holder.milliseconds, sequence: holder.sequence)
            })
        switch report.ending {
        case .found(let record, let body):
            resolution.result = .found
            let published = SequenceBase(user: report.id.key, epoch: record.epoch).seconds(of: record.sequence)
            resolution.record = .init(
                sequence: record.sequence, expiry: record.expiry,
                ageSeconds: published <= now.seconds ? now.seconds - published : nil,
                serial: body.serial, isOpen: body.policy == 1, homes: body.homes.map { place($0.node) })
        case .missing: resolution.result = .missing
        case .unanswered: break
        }
        return resolution
    }

    private func place(_ node: NodeID) -> NodeResolution.Place {
        let cluster = map.server(node)?.clusterID
        return .init(
            server: node.hex, cluster: cluster?.bytes.hex, clusterName: cluster.flatMap { map.cluster($0)?.name })
    }
}
