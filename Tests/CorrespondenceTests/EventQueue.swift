/// What happens in a simulated world, in order of time and then of scheduling: a binary heap.
struct EventQueue<Action> {
    private struct Entry {
        let time: UInt64
        let ticket: UInt64
        let action: Action

        static func < (left: Entry, right: Entry) -> Bool { (left.time, left.ticket) < (right.time, right.ticket) }
    }

    private var heap: [Entry] = []
    private var nextTicket: UInt64 = 0

    /// The time of the first event, in milliseconds since 1970.
    var first: UInt64? { heap.first?.time }

    mutating func push(_ time: UInt64, _ action: Action) {
        heap.append(Entry(time: time, ticket: nextTicket, action: action))
        nextTicket += 1
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Action? {
        guard let top = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return top.action }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return top.action }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
