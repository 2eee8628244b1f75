import Directory
import Home
import Primitives
import Records
import Storage
import Wire

/// The user's own friendly addresses (specs/correspondence.md, "Names").
extension AgentCore {
    static let namingAttempts = 6
    static let namingRetry: UInt64 = 5000

    /// The names that homes have given this user.
    public var ownNames: [(name: String, home: NodeID)] {
        names.all.values.filter(\.isGranted).map { ($0.name, $0.home) }.sorted { $0 < $1 }
    }

    mutating func claimName(
        _ name: String, _ secret: NameSecret, _ request: UInt64, _ now: Timestamp, _ entropy: inout Entropy,
        _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let home = Node.id(of: secret.server)
        guard let known = settings.home(home), known.account != nil, known.stage != .leaving else {
            effects.append(.failed(request: request, .notYourHome))
            return
        }
        if names.all[secret.label] == nil {
            guard names.all.count < OwnNames.limit else {
                effects.append(.failed(request: request, .homeRefused(.noMoreNames)))
                return
            }
            let pointer = NamePointer.seal(user: identity.user, secret, entropy: &entropy)
            try names.put(OwnName(name: name, home: home, label: secret.label, pointer: pointer), &store)
        }
        names.waiting[secret.label, default: []].append(request)
        names.questions[NameKey(label: secret.label, epoch: now.epoch)] = .init(nextTry: now)
    }

    mutating func releaseName(
        _ name: String, at home: NodeID, _ request: UInt64, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let known = names.all.values.first(where: { $0.name == name && $0.home == home }) else {
            effects.append(.failed(request: request, .notYourName))
            return
        }
        names.waiting[known.label, default: []].append(request)
        names.publications = names.publications.filter { $0.key.label != known.label }
        names.questions = names.questions.filter { $0.key.label != known.label }
        names.questions[NameKey(label: known.label, epoch: now.epoch)] = .init(isRelease: true, nextTry: now)
    }

    /// Records of names last as long as the user's own, and are published with it.
    mutating func refreshNames(_ epochs: [UInt64], _ now: Timestamp) {
        for name in names.all.values where name.isGranted {
            for epoch in epochs {
                let key = NameKey(label: name.label, epoch: epoch)
                if names.questions[key] == nil { names.questions[key] = .init(nextTry: now) }
            }
        }
    }

    mutating func forgetNames(
        at home: NodeID, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for name in names.all.values where name.home == home { try names.remove(name.label, &store) }
    }

    // MARK: The home's signature

    mutating func advanceNames(
        _ now: Timestamp, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        for key in names.questions.keys.sorted() {
            guard var question = names.questions[key], now >= question.nextTry, let name = names.all[key.label] else {
                continue
            }
            guard key.epoch >= now.epoch, question.attempts < AgentCore.namingAttempts else {
                // It is asked again with the next record of the user's own.
                names.questions[key] = nil
                try nameFailed(name, .homeUnreachable, &effects, &store)
                continue
            }
            question.attempts += 1
            question.nextTry = now.adding(milliseconds: AgentCore.namingRetry + queueDelay())
            names.questions[key] = question
            try askForName(name, key.epoch, isRelease: question.isRelease, now, &store)
        }
        for key in names.publications.keys.sorted() {
            guard var publication = names.publications[key] else { continue }
            for holder in publication.due(now, queueDelay: queueDelay(publication.asked)) {
                ask(
                    holder, publication.request(to: holder),
                    .publishName(label: key.label, epoch: key.epoch, holder: holder))
            }
            names.publications[key] = publication.isFinished ? nil : publication
            tellNamed(key, publication, now, &effects)
        }
    }

    private mutating func askForName(
        _ name: OwnName, _ epoch: UInt64, isRelease: Bool, _ now: Timestamp,
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let home = settings.home(name.home), let account = home.account, home.serial == identity.serial else {
            return
        }
        let counter = max(home.counter &+ 1, now.milliseconds)
        settings.update(name.home) { $0.counter = counter }
        try settings.save(&store)
        let body = HomeRequest.name(
            home: name.home, account: account, counter: counter, epoch: epoch, label: name.label,
            pointer: isRelease ? nil : name.pointer,
            key: identity.accountKey(home: name.home, incarnation: home.incarnation))
        enqueue(
            .service(
                .home, destination: name.home, body: body.encode(),
                reply: .naming(label: name.label, epoch: epoch, home: name.home)))
    }

    mutating func namingAnswered(
        _ key: NameKey, _ home: NodeID, _ answer: HomeAnswer, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let question = names.questions[key], var name = names.all[key.label], name.home == home else { return }
        switch answer {
        case .named(key.label, let bytes) where !question.isRelease:
            guard let record = try? DirectoryRecord(decoding: bytes), record.epoch == key.epoch else {
                counters.malformedAnswers += 1
                return
            }
            names.questions[key] = nil
            name.isGranted = true
            try names.put(name, &store)
            names.publications[key] = Publication(
                epoch: key.epoch, record: bytes, sequence: record.sequence,
                holders: network.holders(of: record.blindedKey, epoch: key.epoch), now: now)
        case .released(key.label) where question.isRelease:
            try names.remove(key.label, &store)
            for request in names.waiting.removeValue(forKey: key.label) ?? [] {
                effects.append(.nameReleased(request: request, name: name.name))
            }
        case .refused(.replayed):
            // Asked again with a higher counter.
            settings.update(home) { $0.counter = max($0.counter, now.milliseconds) }
        case .refused(let refusal):
            names.questions[key] = nil
            try nameFailed(name, .homeRefused(refusal), &effects, &store)
        case .registered, .attached, .item, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    /// A name that was never given is forgotten.
    private mutating func nameFailed(
        _ name: OwnName, _ error: AgentError, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        if !name.isGranted || error == .homeRefused(.nameTaken) { try names.remove(name.label, &store) }
        for request in names.waiting.removeValue(forKey: name.label) ?? [] {
            effects.append(.failed(request: request, error))
        }
    }

    mutating func namePublished(
        _ answer: DirectoryMessage, _ key: NameKey, holder: NodeID, _ now: Timestamp, _ effects: inout [AgentEffect]
    ) {
        guard var publication = names.publications[key] else { return }
        guard publication.take(answer, from: holder, now) else {
            counters.malformedAnswers += 1
            return
        }
        names.publications[key] = publication.isFinished ? nil : publication
        tellNamed(key, publication, now, &effects)
    }

    private mutating func tellNamed(
        _ key: NameKey, _ publication: Publication, _ now: Timestamp, _ effects: inout [AgentEffect]
    ) {
        guard key.epoch == now.epoch, publication.isSufficient || publication.isFinished,
            let name = names.all[key.label]
        else { return }
        for request in names.waiting.removeValue(forKey: key.label) ?? [] {
            effects.append(
                publication.isSufficient
                    ? .named(request: request, name: name.name)
                    : .failed(request: request, .noAnswer(asked: publication.asked)))
        }
    }
}
