import FoundationEssentials
import Primitives
import Records
import Relay
import Transport
import Wire

/// The relay's private keys on disk: one file an epoch, destroyed when nothing may be opened with it any more.
struct MixKeyStore {
    let directory: String

    private func path(_ epoch: UInt64) -> String { "\(directory)/mix-\(epoch).key" }

    /// The first epoch whose key may still be used.
    private func firstEpoch(_ now: Timestamp) -> UInt64 {
        let epoch = now.epoch
        return now.seconds % Timestamp.secondsPerEpoch < MixKeyRing.grace && epoch > 0 ? epoch - 1 : epoch
    }

    /// Destroys the keys of epochs that are over.
    /// - Returns: why some could not be, or not for certain.
    func destroyOld(now: Timestamp) -> [KeyFile.Failure] {
        let first = firstEpoch(now)
        var failures: [KeyFile.Failure] = []
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
            guard name.hasPrefix("mix-"), name.hasSuffix(".key"),
                let old = UInt64(name.dropFirst(4).dropLast(4)), old < first
            else { continue }
            do throws(KeyFile.Failure) { try KeyFile.destroy(path(old), count: 32) } catch { failures.append(error) }
        }
        return failures
    }

    /// Destroys all keys, so that nothing that was sent to this relay so far is opened any more.
    func destroyAll() throws(KeyFile.Failure) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        where name.hasPrefix("mix-") && name.hasSuffix(".key") {
            do throws(KeyFile.Failure) { try KeyFile.destroy("\(directory)/\(name)", count: 32) } catch {
                // A key that is gone opens nothing here, though its bytes may be on the medium.
                if case .notOverwritten = error { continue }
                throw error
            }
        }
    }

    /// The keys of the last epoch while it may still be used, of this and of the next; those that are missing are made.
    func load(now: Timestamp, entropy: inout Entropy) throws -> MixKeyRing {
        let epoch = now.epoch
        let first = firstEpoch(now)
        var keys: [MixKey] = []
        for wanted in first...epoch + 1 {
            // A key that was never announced is of no use to anybody.
            if wanted < epoch, !FileManager.default.fileExists(atPath: path(wanted)) { continue }
            let secret = try KeyFile.loadOrCreate(path(wanted), count: 32, entropy: &entropy)
            keys.append(MixKey(epoch: wanted, key: try X25519PrivateKey(secret)))
        }
        return MixKeyRing(keys)
    }
}
