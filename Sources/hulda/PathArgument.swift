import FoundationEssentials

/// A folder that a command works in.
enum PathArgument {
    /// The absolute path; an empty one, of a variable that is not set, is not taken for the current folder.
    static func absolute(_ path: String) throws -> String {
        guard !path.isEmpty else {
            throw Failure(
                "the directory\u{2019}s name is empty", next: "Name one; a point means the current directory.",
                code: SysExit.usage)
        }
        return URL(fileURLWithPath: path).path
    }
}
