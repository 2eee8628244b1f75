import Wire

/// How many contacts of an address prefix searches ask on others' word alone. Each call to somebody who is not there takes
/// three datagrams, and an answer names six contacts: so without a bound a liar could have a victim sent eighteen times what
/// he sends, by as many servers as search. Whoever answers gives his place back, so only silence uses it up.
struct NamedContacts: Sendable {
    /// Contacts of one prefix that may leave calls unanswered in a period.
    static let limit = 16
    /// Milliseconds of a period.
    static let period: UInt64 = 60_000
    /// Prefixes that are counted one by one; further ones are counted together.
    static let prefixLimit = PrefixBudget.limit
    private static let shared: UInt64 = .max

    private var number: UInt64 = 0
    private var unanswered: [UInt64: Int] = [:]

    /// Whether one more may be asked; then it counts until it has answered.
    mutating func admit(_ address: SocketAddress, _ now: Timestamp) -> Bool {
        let period = now.milliseconds / NamedContacts.period
        if period != number {
            number = period
            unanswered = [:]
        }
        let key = key(address)
        guard unanswered[key, default: 0] < NamedContacts.limit else { return false }
        unanswered[key, default: 0] += 1
        return true
    }

    /// One that counted has answered.
    mutating func answered(_ address: SocketAddress) {
        let key = key(address)
        guard let count = unanswered[key], count > 0 else { return }
        unanswered[key] = count - 1
    }

    private func key(_ address: SocketAddress) -> UInt64 {
        let prefix = address.prefixKey
        return unanswered[prefix] != nil || unanswered.count < NamedContacts.prefixLimit ? prefix : NamedContacts.shared
    }
}
