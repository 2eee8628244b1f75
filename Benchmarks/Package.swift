// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
]

let formats: [Target.Dependency] = ["Primitives", "Envelope", "Link", "Records"].map {
    .product(name: $0, package: "hulda")
}

let package = Package(
    name: "benchmarks",
    dependencies: [
        .package(name: "hulda", path: ".."),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        // A symbolic link to Tests/CAllocationCounter: SwiftPM takes no target from outside the package.
        .target(name: "CAllocations"),
        .target(
            name: "Operations",
            dependencies: formats + [.product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .executableTarget(name: "Ratios", dependencies: ["Operations", "CAllocations"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
