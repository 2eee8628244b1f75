import CAffinity

/// The processors on which the calling thread, and the threads and processes that it starts later, may run.
public struct Affinity: Sendable {
    /// In ascending order, below 64.
    public let cores: [Int]

    public init(_ cores: [Int]) { self.cores = cores.filter { (0..<64).contains($0) }.sorted() }

    /// The calling thread's.
    public static var current: Affinity {
        let set = hulda_affinity()
        return Affinity((0..<64).filter { set & (1 << UInt64($0)) != 0 })
    }

    /// Binds the calling thread.
    /// - Throws: ``RelayProcess/Failure`` when the system refuses.
    public func apply() throws {
        guard hulda_bind(cores.reduce(0) { $0 | 1 << UInt64($1) }) == 0 else {
            throw RelayProcess.Failure("this process cannot be bound to the processors \(cores)")
        }
    }
}
