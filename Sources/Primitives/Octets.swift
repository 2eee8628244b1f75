extension UnsafeRawBufferPointer {
    /// The start as libsodium's type; for an empty buffer an address that must not be read, and is not.
    @inline(__always) @usableFromInline
    var octets: UnsafePointer<UInt8> {
        if let baseAddress { return baseAddress.assumingMemoryBound(to: UInt8.self) }
        return UnsafePointer(bitPattern: 16).unsafelyUnwrapped
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The start as libsodium's type; for an empty buffer an address that must not be written, and is not.
    @inline(__always) @usableFromInline
    var octets: UnsafeMutablePointer<UInt8> {
        if let baseAddress { return baseAddress.assumingMemoryBound(to: UInt8.self) }
        return UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
    }
}
