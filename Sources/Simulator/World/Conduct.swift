import Directory

/// How a server of the world behaves.
enum Conduct: Equatable, Sendable {
    case honest
    /// It takes everything and answers nobody.
    case silent
    /// It loses so many of a hundred envelopes.
    case drops(percent: Int)
    /// It has no record for anybody.
    case forgetful
    /// Whoever asks for contacts gets nobody but itself.
    case selfish
    /// Its answers end in the middle.
    case halves
    /// It answers with random bytes.
    case babbles

    static let byzantine: [Conduct] = [
        .silent, .drops(percent: 30), .drops(percent: 100), .forgetful, .selfish, .halves, .babbles,
    ]

    /// What becomes of an honest answer.
    func distort(_ answer: [UInt8], _ dice: Dice) -> [UInt8]? {
        switch self {
        case .honest, .drops: return answer
        case .silent: return nil
        case .halves: return Array(answer.prefix(answer.count / 2))
        case .babbles: return dice.entropy.array(answer.count)
        case .forgetful:
            guard case .record = try? DirectoryMessage(decoding: answer) else { return answer }
            return DirectoryMessage.missing.encode()
        case .selfish:
            guard case .nodes(let own, _) = try? DirectoryMessage(decoding: answer) else { return answer }
            return DirectoryMessage.nodes(descriptor: own, []).encode()
        }
    }
}
