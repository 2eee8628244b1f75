// What the users' commands print with --json, one object a line: the fields of specs/command-line.md, "JSON". A field
// that is optional here is left out when there is nothing to say. Times are ISO 8601 in UTC.

/// `hulda id new`, `hulda id show`
struct IDReport: Encodable {
    let id: String
    let link: String
    let names: [String]?
}

/// `hulda id show --hex`
struct KeyReport: Encodable {
    let key: String
}

/// `hulda id name`
struct NameReport: Encodable {
    let name: String
}

/// `hulda id name --release`
struct ReleaseReport: Encodable {
    let released: String
}

/// `hulda id rotate`
struct RotationReport: Encodable {
    let serial: UInt64
    let pendingHomes: Int
}

/// `hulda register`
struct RegisterReport: Encodable {
    let account: String
    let home: String
    let holders: Int
    let milliseconds: UInt64
}

/// `hulda register --list`, a list of them on one line
struct ClusterReport: Encodable {
    let name: String
    let cluster: String
    let contact: String
}

/// `hulda home add`
struct HomeAddReport: Encodable {
    let account: String
    let home: String
}

/// `hulda home move`
struct HomeMoveReport: Encodable {
    let account: String
    let home: String
    let names: [MovedNameReport]
}

/// `hulda home move`, in `names`
struct MovedNameReport: Encodable {
    let from: String
    let to: String?
}

/// `hulda home remove`
struct HomeRemoveReport: Encodable {
    let left: String
}

/// `hulda home list`
struct HomeReportRow: Encodable {
    let home: String
    let server: String
    let account: String?
    let state: String
    let closesAfter: String?
}

/// `hulda resolve`
struct ResolutionReport: Encodable {
    let id: String
    let milliseconds: UInt64
    let asked: Int
    let answered: Int
    let waves: Int
    let pathLength: Int
    let sequence: UInt64
    let expiry: String
    let fallback: Bool
    let cluster: String?
    let isNew: Bool?
    let isRemembered: Bool?
}

/// `hulda send`
struct SendReport: Encodable {
    let message: String
    let to: String
    let state: String
}

/// `hulda inbox`, `--follow`, `--wait`, `--stored`
struct ReceivedReport: Encodable {
    let from: String
    let id: String
    let sent: String
    let received: String
    let text: String
}

/// `hulda inbox --sent`
struct SentReport: Encodable {
    let to: String
    let id: String
    let created: String
    let state: String
    let text: String
}

/// `hulda inbox --delete`
struct DeletionReport: Encodable {
    let deleted: Int
}

/// `hulda inbox --flush`
struct FlushReport: Encodable {
    let outbox: Int
}

/// every command with `--counters`, on standard error
struct CountersReport: Encodable {
    let counters: [String: UInt64]
}

/// every command that fails, on standard error
struct FailureReport: Encodable {
    let error: String
    let next: String
}
