// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
]

/// A library target of our own: one concept of the field, one folder.
func concept(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "hulda",
    products: [
        .executable(name: "hulda", targets: ["hulda"]),
        .library(name: "Primitives", targets: ["Primitives"]),
        .library(name: "Envelope", targets: ["Envelope"]),
        .library(name: "Link", targets: ["Link"]),
        .library(name: "Records", targets: ["Records"]),
        // What Benchmarks/ drives a relay and directory servers with.
        .library(name: "Directory", targets: ["Directory"]),
        .library(name: "Federation", targets: ["Federation"]),
        .library(name: "LMDB", targets: ["LMDB"]),
        .library(name: "Storage", targets: ["Storage"]),
        .library(name: "Transport", targets: ["Transport"]),
        .library(name: "Wire", targets: ["Wire"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(name: "CProcess"),
        .systemLibrary(name: "CQREncode", pkgConfig: "libqrencode", providers: [.apt(["libqrencode-dev"])]),

        // Formats and constructions.
        concept("Primitives", ["CSodium"]),
        concept("Wire", ["Primitives"]),
        concept("Storage", []),
        concept("Terminal", []),
        concept("Envelope", ["Primitives", "Wire"]),
        concept("Link", ["Primitives", "Wire", .product(name: "Crypto", package: "swift-crypto")]),
        concept("Records", ["Primitives", "Wire"]),

        // Protocol cores: no sockets, clocks, tasks or randomness inside.
        concept("Directory", ["Records", "Storage", "Wire", "Primitives"]),
        concept("Federation", ["Records", "Storage", "Wire", "Primitives"]),
        concept(
            "Relay", ["Envelope", "Wire", "Primitives", .product(name: "HeapModule", package: "swift-collections")]),
        concept("Home", ["Envelope", "Records", "Storage", "Wire", "Primitives"]),
        concept(
            "Correspondence",
            [
                "Directory", "Federation", "Home", "Envelope", "Records", "Storage", "Wire", "Primitives",
                .product(name: "DequeModule", package: "swift-collections"),
            ]),

        // The cores under virtual time.
        .target(
            name: "Simulator",
            dependencies: [
                "Directory", "Federation", "Relay", "Home", "Correspondence", "Envelope", "Records", "Storage", "Wire",
                "Primitives",
            ],
            // Within the program, which may be linked statically and lie anywhere.
            resources: [.embedInCode("Data/round-trips.txt")],
            swiftSettings: strict),

        // Runtimes.
        concept("LMDB", ["CLMDB", "CSodium", "Storage"]),
        concept("Transport", ["CProcess", "Link", "Envelope", "Wire", "Primitives", logging] + nio),
        concept("Node", ["Relay", "Home", "Directory", "Federation", "Transport", "LMDB", logging] + nio),
        concept("Agent", ["Correspondence", "Transport", "LMDB", logging] + nio),
        .executableTarget(
            name: "hulda",
            dependencies: [
                "Node", "Agent", "Simulator", "Terminal", "CQREncode",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict),

        // Tests.
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .target(name: "Fuzz", dependencies: ["Storage", "Primitives"], path: "Tests/Fuzz", swiftSettings: strict),
        .target(name: "SecondImplementation", path: "Tests/SecondImplementation", swiftSettings: strict),
        tests("SpecificationTests", []),
        tests("PrimitivesTests", ["Primitives", "SecondImplementation"]),
        tests("WireTests", ["Wire"]),
        tests("TerminalTests", ["Terminal", "SecondImplementation"]),
        tests("EnvelopeTests", ["Envelope", "CAllocationCounter", "SecondImplementation"]),
        tests("LinkTests", ["Link", "CAllocationCounter", "Fuzz", "SecondImplementation"]),
        tests("RecordsTests", ["Records", "Fuzz", "SecondImplementation"]),
        tests("DirectoryTests", ["Directory", "Fuzz", "SecondImplementation"]),
        tests("FederationTests", ["Federation", "Directory", "Fuzz", "SecondImplementation"]),
        tests("RelayTests", ["Relay"]),
        tests("HomeTests", ["Home", "Fuzz"]),
        tests("CorrespondenceTests", ["Correspondence", "Relay", "Fuzz", "SecondImplementation"]),
        tests(
            "SimulatorTests",
            ["Simulator", "Directory", "Correspondence", "Federation", .product(name: "TOMLKit", package: "TOMLKit")]),
        tests("LMDBTests", ["LMDB"]),
        tests("TransportTests", ["Transport", "Fuzz"] + nio),
        tests(
            "NodeTests",
            [
                "Node", "Link", "Directory", "Federation", "Relay", "Home", "Correspondence", "Transport", "LMDB",
                "Fuzz", logging,
            ] + nio),
        tests("AgentTests", ["Agent", "Correspondence", "Envelope", "LMDB", "Fuzz"] + nio),
        tests(
            "OverlayTests",
            [
                "hulda", "Terminal", "Node", "Home", "Agent", "Transport", "Federation", "Envelope", "LMDB",
                "Simulator", "Storage", "Fuzz", "SecondImplementation", logging,
            ]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// SwiftPM compiles a target anew only when a dependency that it names has changed. The layout of its types can follow from one
// further down, so every target names all of ours that it stands on; they are listed above in that order.
var named: [String: Set<String>] = [:]
for target in package.targets {
    let own = target.dependencies.compactMap { dependency -> String? in
        if case .byNameItem(let name, _) = dependency { name } else { nil }
    }
    let all = own.reduce(into: Set(own)) { $0.formUnion(named[$1] ?? []) }
    named[target.name] = all
    target.dependencies += all.subtracting(own).sorted().map { .byName(name: $0) }
}
