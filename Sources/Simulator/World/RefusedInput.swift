import Directory
import Federation

/// What honest servers refused and counted, in a run.
struct RefusedInput: Equatable, Sendable {
    private var counts = [Int](repeating: 0, count: names.count)

    private static let names = [
        "descriptors refused as forged", "descriptors refused as expired", "descriptors of clusters not admitted",
        "clusters not admitted that endorse each other",
        "messages of the map refused as malformed", "messages of the directory refused as malformed",
        "answers of the directory refused as forged", "contacts refused in answers", "answerers refused as contacts",
        "records refused for their dates",
        "envelopes that did not open",
    ]

    mutating func add(_ server: WorldServer) {
        let map = server.map.counters
        let directory = server.directory.counters
        let refused = [
            map.forged, map.expired, map.pending, UInt64(server.map.circles), map.malformed, directory.malformed,
            directory.forgedAnswers,
            directory.refusedContacts, directory.selfNamed, directory.wrongEpoch, UInt64(server.unopened),
        ]
        for (place, number) in refused.enumerated() { counts[place] += Int(clamping: number) }
        server.unopened = 0
    }

    var rows: [ResultRow] {
        zip(RefusedInput.names, counts).map { ResultRow($0, .number(Double($1), unit: "")) }
    }
}
