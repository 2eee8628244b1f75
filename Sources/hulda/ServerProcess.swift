import FoundationEssentials
import Glibc
import Logging
import Node

/// The process of `hulda node run`: the server, its log, and the signals by which it is operated.
struct ServerProcess: Sendable {
    private let path: String
    private let level: NodeLog.Level
    private let logger: Logger
    private let configuration: NodeConfiguration

    init(path: String, isJSON: Bool) throws {
        self.path = path
        configuration = try ConfigurationFile.readValid(path)
        let level = NodeLog.Level(configuration.logLevel)
        self.level = level
        logger = Logger(label: "hulda", factory: { _ in LegibleLog(NodeLog(level, isJSON: isJSON)) })
    }

    /// Runs the server until it is to end.
    func run() async throws {
        let service = ServiceManager()
        // From here on, so that one that comes while the server starts does not end it.
        let signals = Termination.signals([SIGTERM, SIGINT, SIGHUP])
        logger.info("configuration read", metadata: ["file": "\(path)"])
        let node: NodeRuntime
        do { node = try await NodeRuntime.start(configuration, logger: logger) } catch {
            throw NodeFailureText.failure(error)
        }
        service.ready()
        let watch = service.watch { await node.turn() }
        let failure = await withTaskGroup(of: NodeError?.self) { group in
            group.addTask {
                for await signal in signals {
                    guard signal == SIGHUP else { break }
                    service.reloading()
                    reload(node)
                    service.ready()
                }
                return nil
            }
            group.addTask { await node.failures.first { _ in true } }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        watch?.cancel()
        service.stopping()
        logger.notice("stopping")
        await node.stop()
        if let failure { throw NodeFailureText.failure(failure) }
    }

    private func reload(_ node: NodeRuntime) {
        do {
            let new = try ConfigurationFile.readValid(path)
            let reload = try NodeFailureText.translate { try node.reload(new) }
            level.set(new.logLevel)
            let taken = reload.taken.isEmpty ? "nothing" : reload.taken.joined(separator: ", ")
            logger.notice("configuration read again", metadata: ["file": "\(path)", "changed": "\(taken)"])
            guard !reload.left.isEmpty else { return }
            logger.warning(
                "some changes take effect at the next start only",
                metadata: ["options": "\(reload.left.joined(separator: ", "))"])
        } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            logger.error("the configuration is not taken: the old one stays", metadata: ["reason": "\(reason)"])
        }
    }
}
