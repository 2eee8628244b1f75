import ArgumentParser
import Correspondence

/// What the network, or a core on its behalf, refused, in words, with the next step.
enum AgentErrorText {
    static func failure(_ error: AgentError) -> Failure {
        switch error {
        case .notFound(let asked, let missing):
            Failure(
                "nobody publishes this ID now: \(missing) of \(asked) directory servers have no record of it",
                next: "Ask the owner whether it is right and registered.", code: SysExit.noHost)
        case .noAnswer(let asked):
            Failure(
                "no directory server answered (asked \(asked))", next: "Try again in a minute.", code: SysExit.temporary
            )
        case .tooManyLookups(let limit):
            Failure(
                "\(limit) lookups are under way already", next: "Try again in a minute.", code: SysExit.temporary)
        case .mapTooSmall(let clusters):
            Failure(
                "the map has only \(clusters) clusters: a path needs five", next: "Use a larger bootstrap list.",
                code: SysExit.unavailable)
        case .unknownHome:
            Failure(
                "this server is not a home", next: "List the clusters with: hulda register --list", code: SysExit.noHost
            )
        case .homeRefused(.wrongToken):
            Failure(
                "the cluster asks for a registration token, and this is not the right one",
                next: "Ask its operator for one, and add --token TOKEN.", code: SysExit.noPermission)
        case .homeRefused(.nameTaken):
            Failure("somebody else has this name", next: "Choose another one.", code: SysExit.cantCreate)
        case .homeRefused(.noMoreNames), .homeRefused(.wrongEpoch):
            Failure(
                "the home gives you no more names",
                next: "Give one up with hulda id name NAME --release, or ask another home with --home.",
                code: SysExit.unavailable)
        case .notYourName:
            Failure("this name is not yours", next: "See yours with: hulda id show", code: SysExit.usage)
        case .homeRefused(let refusal):
            Failure("the home refused: \(refusal)", next: "Try another cluster.", code: SysExit.unavailable)
        case .homeUnreachable:
            Failure("the home does not answer", next: "Try again later, or another cluster.", code: SysExit.temporary)
        case .messageTooLong(let limit):
            Failure("a message has at most \(limit) bytes", next: "Send it in parts.", code: SysExit.data)
        case .outboxFull(let limit):
            Failure(
                "\(limit) messages wait in the outbox already", next: "Let them go out: hulda inbox --flush",
                code: SysExit.temporary)
        case .invalidID:
            Failure(
                "this ID is not a valid key", next: "Ask its owner for it again.", code: SysExit.data)
        case .notRegistered:
            Failure(
                "you are not registered", next: "Register first: hulda register --home CLUSTER", code: SysExit.usage)
        case .registeredElsewhere:
            Failure(
                "you have an account at another home already",
                next: "Move with hulda home move CLUSTER, or add a second home with hulda home add CLUSTER.",
                code: SysExit.usage)
        case .tooManyHomes(let limit):
            Failure(
                "you have \(limit) homes already, counting those that you are leaving",
                next: "See hulda home list; leave one with: hulda home remove CLUSTER", code: SysExit.usage)
        case .notYourHome:
            Failure("you have no account there", next: "List yours with: hulda home list", code: SysExit.usage)
        case .lastHome:
            Failure(
                "this is your only home", next: "Move to another one instead: hulda home move CLUSTER",
                code: SysExit.usage)
        }
    }
}
