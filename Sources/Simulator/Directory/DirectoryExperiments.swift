/// An experiment on the directory, for `hulda simulate`.
public struct DirectoryExperiment: Sendable {
    /// - Parameters:
    ///   - nodes: directory servers.
    ///   - seed: of everything that is drawn.
    ///   - trials: lookups, or records where the experiment is about records.
    ///   - progress: told shares of the work from 0 to 1.
    public typealias Run =
        @Sendable (_ nodes: Int, _ seed: UInt64, _ trials: Int, _ progress: (Double) -> Void)
        throws(DirectoryExperimentError) -> [ResultRow]

    public let name: String
    public let description: String
    public let run: Run
}

/// The experiments behind the directory's figures (specs/results/directory.md).
public enum DirectoryExperiments {
    public static let all: [DirectoryExperiment] = [
        DirectoryExperiment(
            name: "directory-death", description: "retrieval right after half of the servers die at once",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try death(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-liars", description: "retrieval with 20 and 30 % of the servers lying together",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try liars(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-liars-death", description: "retrieval with 30 % liars and half of the others dead",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try liarsAndDeath(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-stale",
            description: "replaced records that are believed, with 30 % of the servers serving them",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try stale(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-fallback", description: "searches without a map, with 30 % of the servers lying together",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try fallback(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-latency", description: "share of lookups in one hop, latency, bytes",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try latency(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-repair",
            description: "virtual minutes until 20 copies again after half of the servers die",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try repair(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-churn", description: "records lost in 24 virtual hours, median session one hour",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try churn(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-sybil", description: "10,000 servers without endorsement among the network's",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try sybil(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-eclipse", description: "identities placed beside a key, as published against IPFS",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try eclipse(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-eclipse-search",
            description: "the same against searches without a map, and whether they are noticed",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try eclipseSearches(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-quiet", description: "days on which nobody attacks: servers that raise an alarm",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try quiet(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-grinding",
            description: "participants that steer or prevent the shared random value, day after day",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try grinding(n, s, t, p) }),
        DirectoryExperiment(
            name: "directory-traffic",
            description:
                "a quarter of an hour of everything: publication, lookups, repair, upkeep, servers that restart",
            run: { (n, s, t, p) throws(DirectoryExperimentError) in try traffic(n, s, t, p) }),
    ]
}
