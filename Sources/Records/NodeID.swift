import Primitives

/// The place of a server in the network: `H("hulda/node", ServerID)`.
public typealias NodeID = Bytes32

/// What follows from a server's identity.
public enum Node {
    /// The node ID of the server with this identity.
    public static func id(of server: VerifyingKey) -> NodeID { BLAKE2b.h(Domain("hulda/node"), server.bytes) }
}
