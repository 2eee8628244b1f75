import Storage
import Wire

/// What the cores have written and is not on disk yet, and which effects wait for it (specs/overview.md, "Storage").
///
/// One batch of writes is on its way to the disk, another one gathers. What a core wants done after a write waits for
/// the batch that the write is in; each core writes tables of its own, so none waits for another's writes.
struct CommitQueue<Effect: Sendable>: Sendable {
    /// A batch is sealed when it has so many operations…
    static var operationLimit: Int { 256 }
    /// …or so many milliseconds after the last one; at once after a rest as long, or when somebody waits for it.
    static var interval: UInt64 { 200 }
    /// While the disk is so far behind, events wait.
    static var backlogLimit: Int { 65_536 }
    static var backlogBytes: Int { 64 << 20 }

    enum Part: Int, CaseIterable, Sendable {
        case map
        case directory
        case home
    }

    /// The batch that has a core's last write.
    private enum Place { case disk, sealed, open }

    private(set) var sealed = WriteBuffer()
    private var open = WriteBuffer()
    private var places = [Place](repeating: .disk, count: Part.allCases.count)
    private var afterSealed: [Effect] = []
    private var afterOpen: [Effect] = []
    private var isUrgent = false
    private var lastSealed: Timestamp?

    /// Whether a batch is on its way to the disk.
    private(set) var isWriting = false

    var isEmpty: Bool { open.isEmpty && !isWriting }
    var isBehind: Bool {
        open.operations >= CommitQueue.backlogLimit || open.bytes >= CommitQueue.backlogBytes
    }

    /// The gathering batch, for a turn; ``giveBack(_:)`` ends the turn. Without that, what gathered is lost.
    mutating func takeOpen() -> WriteBuffer {
        let taken = open
        open = WriteBuffer()
        return taken
    }

    mutating func giveBack(_ writes: WriteBuffer) { open = writes }

    /// A core has written.
    /// - Parameter isUrgent: whether somebody waits for the effects.
    mutating func noteWrite(of part: Part, isUrgent: Bool) {
        places[part.rawValue] = .open
        if isUrgent { self.isUrgent = true }
    }

    /// - Returns: whether the effect need not wait.
    mutating func admit(_ effect: Effect, of part: Part) -> Bool {
        switch places[part.rawValue] {
        case .disk: return true
        case .sealed: afterSealed.append(effect)
        case .open: afterOpen.append(effect)
        }
        return false
    }

    /// What gathers shall go to disk as soon as it can.
    mutating func hurry() { isUrgent = !open.isEmpty }

    /// When the gathering batch is to be sealed; `nil` when it is empty, or must wait for the one before it.
    var due: Timestamp? {
        guard !open.isEmpty, !isWriting else { return nil }
        guard let lastSealed, !isUrgent, open.operations < CommitQueue.operationLimit else {
            return Timestamp(milliseconds: 0)
        }
        return lastSealed.adding(milliseconds: CommitQueue.interval)
    }

    /// The batch to bring to disk now, if it is time.
    mutating func seal(_ now: Timestamp) -> WriteBuffer? {
        // A clock that was set back must keep nobody waiting.
        let isSetBack = lastSealed.map { now < $0 } ?? false
        guard let due, due <= now || isSetBack else { return nil }
        sealed = open
        open = WriteBuffer()
        afterSealed = afterOpen
        afterOpen = []
        places = places.map { $0 == .open ? .sealed : $0 }
        isWriting = true
        isUrgent = false
        lastSealed = now
        return sealed
    }

    /// The batch is on disk.
    /// - Returns: what waited for it.
    mutating func committed() -> [Effect] {
        let effects = afterSealed
        afterSealed = []
        sealed = WriteBuffer()
        isWriting = false
        places = places.map { $0 == .sealed ? .disk : $0 }
        return effects
    }

    /// The batch could not be written, and what gathered since builds on it: nothing of both remains, and none of their
    /// effects may happen.
    /// - Returns: those effects.
    mutating func failed() -> [Effect] {
        let (last, dropped) = (lastSealed, afterSealed + afterOpen)
        self = CommitQueue()
        lastSealed = last
        return dropped
    }

    /// A turn ended with an error. What is on its way to the disk stays.
    /// - Returns: effects that may not happen any more.
    mutating func discardOpen() -> [Effect] {
        let dropped = afterOpen
        open = WriteBuffer()
        afterOpen = []
        places = places.map { $0 == .open ? (isWriting ? .sealed : .disk) : $0 }
        return dropped
    }
}
