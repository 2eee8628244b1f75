/// Events in the order of their virtual time; those of one moment in the order in which they were pushed.
struct VirtualQueue<Element> {
    /// What the heap moves about: events themselves stay where they are.
    private struct Entry {
        let due: UInt64
        let ticket: UInt64
        let slot: Int
    }

    private var heap: [Entry] = []
    private var slots: [Element?] = []
    private var free: [Int] = []
    private var ticket: UInt64 = 0

    var count: Int { heap.count }
    /// When the first event is due.
    var next: UInt64? { heap.first?.due }

    mutating func push(_ element: Element, due: UInt64) {
        let slot: Int
        if let last = free.popLast() {
            slot = last
            slots[slot] = element
        } else {
            slot = slots.count
            slots.append(element)
        }
        heap.append(Entry(due: due, ticket: ticket, slot: slot))
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
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        guard let element = slots[first.slot].take() else { return nil }
        free.append(first.slot)
        return (first.due, element)
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            let (left, right) = (2 * parent + 1, 2 * parent + 2)
            if left < heap.count, isBefore(left, least) { least = left }
            if right < heap.count, isBefore(right, least) { least = right }
            if least == parent { return }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        heap[left].due == heap[right].due ? heap[left].ticket < heap[right].ticket : heap[left].due < heap[right].due
    }
}
