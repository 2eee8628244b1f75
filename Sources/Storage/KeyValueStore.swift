/// A named table of a store.
public struct Table: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public init(_ name: StaticString) { self.name = "\(name)" }
    /// A table whose name was read from a store.
    public init(named name: String) { self.name = name }
    public var description: String { name }
}

/// What every store takes.
public enum StorageLimits {
    /// Bytes of a key: LMDB's own limit.
    public static let keySizes = 1...511
    /// Bytes of a value.
    public static let valueSize = 64 << 20
}

/// Why a store could not do what it was asked.
public enum StorageError: Error, Equatable, Sendable {
    /// The store's configured size, or the disk, is used up; nothing of the transaction was written.
    case full
    /// A key or a value is not within ``StorageLimits``.
    case invalidSize
    /// The file is damaged or of another version; the text is the engine's own.
    case corrupt(String)
    /// The directory cannot be read or written; the text is the system's own.
    case unavailable(String)
}

extension StorageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .full: "no space is left in the store or on the disk"
        case .invalidSize: "a key or a value has a size that cannot be stored"
        case .corrupt(let reason): "damaged: \(reason)"
        case .unavailable(let reason): reason
        }
    }
}

/// What a core reads and writes while it handles an event: ordered tables of byte strings.
///
/// The driver lets a core read and write at any time and commits what it wrote *before* it performs any effect that
/// follows from it, so whatever a core acknowledged is on disk. LMDB is the embedded implementation, ``BufferedStore``
/// what a node lays above it, ``MemoryStore`` the simulator's.
public protocol KeyValueStore: ~Copyable {
    /// The value of `key`, or `nil`.
    func get(_ table: Table, _ key: [UInt8]) throws(StorageError) -> [UInt8]?
    /// Sets `key` to `value`.
    mutating func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(StorageError)
    /// Removes `key` if it is there.
    mutating func delete(_ table: Table, _ key: [UInt8]) throws(StorageError)
    /// Visits entries with keys not below `start` in ascending byte order until `body` returns false.
    func scan(_ table: Table, from start: [UInt8], _ body: (_ key: [UInt8], _ value: [UInt8]) -> Bool)
        throws(StorageError)
    /// The number of entries.
    func count(_ table: Table) throws(StorageError) -> Int
}
