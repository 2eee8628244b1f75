extension Array {
    /// Makes room for another element by an eighth and not by as much again, as an array does by itself: of tables that
    /// are filled once and change little afterwards half would lie idle for ever.
    mutating func reserveOneMore() {
        guard count == capacity else { return }
        reserveCapacity(count + count / 8 + 4)
    }
}
