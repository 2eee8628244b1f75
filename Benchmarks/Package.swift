// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
]

func hulda(_ names: String...) -> [Target.Dependency] {
    names.map { .product(name: $0, package: "hulda") }
}

let formats = hulda("Primitives", "Envelope", "Link", "Records", "Wire")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

let package = Package(
    name: "benchmarks",
    products: [
        .executable(name: "ratios", targets: ["Ratios"]),
        .executable(name: "relay-throughput", targets: ["RelayThroughput"]),
        .executable(name: "idle-memory", targets: ["IdleMemory"]),
        .executable(name: "directory-lookups", targets: ["DirectoryLookups"]),
        .executable(name: "directory-restart", targets: ["DirectoryRestart"]),
        .executable(name: "directory-cost", targets: ["DirectoryCost"]),
        .executable(name: "store-check", targets: ["StoreCheck"]),
    ],
    dependencies: [
        .package(name: "hulda", path: ".."),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        // Without its traits: its malloc counts would need jemalloc.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        // A symbolic link to Tests/CAllocationCounter: SwiftPM takes no target from outside the package.
        .target(name: "CAllocations"),
        .target(
            name: "Operations",
            dependencies: formats + [.product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .executableTarget(name: "Ratios", dependencies: ["Operations", "CAllocations"], swiftSettings: strict),
        .target(name: "CAffinity"),
        .target(name: "Relays", dependencies: ["CAffinity"], swiftSettings: strict),
        .executableTarget(
            name: "RelayThroughput",
            dependencies: formats + hulda("Federation", "Storage", "Transport") + nio + ["Operations", "Relays"],
            swiftSettings: strict),
        .executableTarget(
            name: "Hulda", dependencies: ["Operations", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/Hulda", plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(name: "IdleMemory", dependencies: ["Relays"], swiftSettings: strict),
        .target(
            name: "DirectoryClient", dependencies: hulda("Link", "Primitives", "Records", "Transport", "Wire"),
            swiftSettings: strict),
        .executableTarget(
            name: "DirectoryLookups",
            dependencies: hulda("Directory", "Federation", "Primitives", "Records", "Transport", "Wire")
                + ["DirectoryClient"],
            swiftSettings: strict),
        .executableTarget(
            name: "DirectoryCost",
            dependencies: hulda(
                "Directory", "LMDB", "Link", "Primitives", "Records", "Storage", "Transport", "Wire")
                + ["DirectoryClient", "Operations"],
            swiftSettings: strict),
        .executableTarget(name: "StoreCheck", dependencies: hulda("LMDB", "Storage"), swiftSettings: strict),
        .executableTarget(
            name: "DirectoryRestart",
            dependencies: hulda("Directory", "LMDB", "Primitives", "Records", "Storage", "Transport", "Wire")
                + ["DirectoryClient", "Relays"],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
