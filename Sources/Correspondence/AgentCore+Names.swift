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
        if var name = names.all[secret.label] {
            // Whoever changes his mind before all holders know that he gave it up has it again.
            if name.state == .releasing {
                name.state = .wanted
                name.forgetPublished()
                try names.put(name, &store)
                names.forgetSteps(of: secret.label)
            }
        } else {
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

    /// Gives a name up. It stays here until enough holders have a record that says so.
    mutating func releaseName(
        _ name: String, at home: NodeID, _ request: UInt64, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var known = names.all.values.first(where: { $0.name == name && $0.home == home }) else {
            effects.append(.failed(request: request, .notYourName))
            return
        }
        known.state = .releasing
        try names.put(known, &store)
        names.waiting[known.label, default: []].append(request)
        names.forgetSteps(of: known.label)
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
        names.askForMissing(through: recordsThrough(now), now)
        for key in names.questions.keys.sorted() {
            guard var question = names.questions[key], now >= question.nextTry else { continue }
            guard let name = names.all[key.label], key.epoch >= now.epoch else {
                names.questions[key] = nil
                continue
            }
            guard let home = settings.home(name.home), home.account != nil, home.serial == identity.serial else {
                // The home is about to learn the account's key.
                names.questions[key]?.nextTry = now.adding(milliseconds: AgentCore.namingRetry)
                continue
            }
            if question.attempts == AgentCore.namingAttempts {
                try nameFailed(name, .homeUnreachable, &effects, &store)
                guard names.all[key.label] != nil else { continue }
            }
            let isSlow = question.attempts >= AgentCore.namingAttempts
            question.attempts += 1
            question.nextTry = now.adding(
                milliseconds: (isSlow ? OwnNames.slowRetry : AgentCore.namingRetry) + queueDelay())
            names.questions[key] = question
            try askForName(name, key.epoch, now, &store)
        }
        for key in names.publications.keys.sorted() {
            guard var publication = names.publications[key] else { continue }
            for holder in publication.due(now, queueDelay: queueDelay(publication.asked)) {
                ask(
                    holder, publication.request(to: holder),
                    .publishName(label: key.label, epoch: key.epoch, holder: holder))
            }
            try nameAdvanced(key, publication, now, &effects, &store)
        }
    }

    private mutating func askForName(
        _ name: OwnName, _ epoch: UInt64, _ now: Timestamp, _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard let home = settings.home(name.home), let account = home.account else { return }
        let counter = max(home.counter &+ 1, now.milliseconds)
        settings.update(name.home) { $0.counter = counter }
        try settings.save(&store)
        let body = HomeRequest.name(
            home: name.home, account: account, counter: counter, epoch: epoch, label: name.label,
            pointer: name.state == .releasing ? nil : name.pointer,
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
        guard names.questions[key] != nil, var name = names.all[key.label], name.home == home else { return }
        switch answer {
        case .named(key.label, let bytes) where name.state != .releasing:
            if name.state == .wanted {
                name.state = .granted
                try names.put(name, &store)
            }
            publishName(key, bytes, now)
        case .released(key.label, let bytes) where name.state == .releasing:
            if bytes.isEmpty { return try nameReleased(name, &effects, &store) }
            publishName(key, bytes, now)
        case .refused(.replayed):
            // Asked again with a higher counter.
            settings.update(home) { $0.counter = max($0.counter, now.milliseconds) }
        case .refused(let refusal):
            names.questions[key]?.nextTry = now.adding(milliseconds: OwnNames.slowRetry)
            try nameFailed(name, .homeRefused(refusal), &effects, &store)
        case .registered, .attached, .item, .accepted, .takenOver, .closed, .named, .released:
            counters.malformedAnswers += 1
        }
    }

    private mutating func publishName(_ key: NameKey, _ bytes: [UInt8], _ now: Timestamp) {
        guard let record = try? DirectoryRecord(decoding: bytes), record.epoch == key.epoch else {
            counters.malformedAnswers += 1
            return
        }
        names.questions[key] = nil
        names.publications[key] = Publication(
            epoch: key.epoch, record: bytes, sequence: record.sequence,
            holders: network.holders(of: record.blindedKey, epoch: key.epoch), now: now)
    }

    /// Tells whoever waits. A name that was never given is forgotten, and so is one that somebody else has.
    private mutating func nameFailed(
        _ name: OwnName, _ error: AgentError, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        let waiting = names.waiting.removeValue(forKey: name.label) ?? []
        if name.state == .wanted || error == .homeRefused(.nameTaken) { try names.remove(name.label, &store) }
        for request in waiting { effects.append(.failed(request: request, error)) }
    }

    mutating func namePublished(
        _ answer: DirectoryMessage, _ key: NameKey, holder: NodeID, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        guard var publication = names.publications[key] else { return }
        guard publication.take(answer, from: holder, now) else {
            counters.malformedAnswers += 1
            return
        }
        try nameAdvanced(key, publication, now, &effects, &store)
    }

    /// Notes how far the publishing of a name's record has come, and tells whoever waits.
    private mutating func nameAdvanced(
        _ key: NameKey, _ publication: Publication, _ now: Timestamp, _ effects: inout [AgentEffect],
        _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        names.publications[key] = publication.isFinished ? nil : publication
        guard var name = names.all[key.label] else { return }
        let done = name.state == .releasing ? name.retracted : name.published
        if publication.isSufficient, !done.contains(key.epoch) {
            name.notePublished(key.epoch, now)
            try names.put(name, &store)
        }
        if publication.isFinished, !publication.isSufficient { names.pause(key, now) }
        if name.state == .releasing {
            if names.missing(of: name, through: recordsThrough(now), now).isEmpty {
                return try nameReleased(name, &effects, &store)
            }
        } else if key.epoch == now.epoch, publication.isSufficient {
            for request in names.waiting.removeValue(forKey: key.label) ?? [] {
                effects.append(.named(request: request, name: name.name))
            }
        }
        guard key.epoch == now.epoch, publication.isFinished, !publication.isSufficient else { return }
        for request in names.waiting.removeValue(forKey: key.label) ?? [] {
            effects.append(.failed(request: request, .noAnswer(asked: publication.asked)))
        }
    }

    private mutating func nameReleased(
        _ name: OwnName, _ effects: inout [AgentEffect], _ store: inout some (KeyValueStore & ~Copyable)
    ) throws(StorageError) {
        try names.remove(name.label, &store)
        for request in names.waiting.removeValue(forKey: name.label) ?? [] {
            effects.append(.nameReleased(request: request, name: name.name))
        }
    }
}
