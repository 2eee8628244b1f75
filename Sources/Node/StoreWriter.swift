import LMDB
import NIOPosix
import Storage

/// The one writer of a store, on a thread of its own, so that whoever reads and decides does not wait for the disk.
final class StoreWriter: Sendable {
    private let environment: LMDBEnvironment
    private let thread = NIOThreadPool(numberOfThreads: 1)

    init(_ environment: LMDBEnvironment) {
        self.environment = environment
        thread.start()
    }

    /// Commits all writes in one transaction, then calls `done` on the writer's thread: with the bytes that the store
    /// uses, or with the error if nothing of them is on disk.
    func commit(_ writes: WriteBuffer, done: @escaping @Sendable (Result<Int, StorageError>) -> Void) {
        thread.submit { [environment] state in
            guard case .active = state else { return }
            do throws(StorageError) {
                try environment.write { (transaction: inout LMDBTransaction) throws(StorageError) in
                    try writes.apply(to: &transaction)
                }
                done(.success(environment.usedBytes))
            } catch {
                done(.failure(error))
            }
        }
    }

    /// Waits until what was begun is on disk.
    func stop() async { try? await thread.shutdownGracefully() }
}
