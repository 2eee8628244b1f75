/// Events in the order of their virtual time; those of one moment in the order in which they were pushed.
struct VirtualQueue<Element> {
    private var heap: [(due: UInt64, ticket: UInt64, element: Element)] = []
    private var ticket: UInt64 = 0

    var count: Int { heap.count }
    /// When the first event is due.
    var next: UInt64? { heap.first?.due }

    mutating func push(_ element: Element, due: UInt64) {
        heap.append((due, ticket, element))
        ticket += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(child, parent) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> (due: UInt64, element: Element)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return (first.due, first.element) }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
                least = child
            }
            if least == parent { break }
            heap.swapAt(least, parent)
            parent = least
        }
        return (first.due, first.element)
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (heap[left].due, heap[left].ticket) < (heap[right].due, heap[right].ticket)
    }
}
