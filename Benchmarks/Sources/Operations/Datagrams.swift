extension Operation {
    /// What a directory server cannot do without for one request: in a session, and with a handshake.
    public static func bareDatagrams() -> (get: () -> Void, handshake: () -> Void) {
        // Of a transport datagram's 1232 bytes 13 are its header and 16 the tag.
        let size = 1203
        let bare = Bare(size: size)
        return (
            get: {
                consume(bare.open(size))
                bare.seal(size)
            },
            handshake: {
                for _ in 0..<4 { bare.multiply() }
                bare.multiplyBase()
            }
        )
    }
}
