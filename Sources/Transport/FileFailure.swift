import FoundationEssentials
import Glibc

/// What the operating system says of a failed file operation, for a person to read.
public enum FileFailure {
    /// The system's own words where Foundation carries them, else Foundation's.
    public static func reason(_ error: any Error) -> String {
        if let code = (error as? POSIXError ?? (error as? CocoaError)?.underlying as? POSIXError)?.code {
            return String(cString: strerror(code.rawValue))
        }
        return "\(error)"
    }
}
