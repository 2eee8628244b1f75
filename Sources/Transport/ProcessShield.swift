import CProcess
import Glibc

/// What a program that may hold keys asks of the system before it reads any. Spec: specs/overview.md, "Secrets in memory".
public enum ProcessShield {
    /// Private keys reach no core dump, no crash report and no other process of the same user, and what is made belongs to
    /// the owner alone.
    ///
    /// A dump goes to nobody even where the system pipes dumps to a program, which ignores the limit on their size. Swift's
    /// report of a crash has the bytes to which each register points, and would go into the log: it is made only where
    /// `SWIFT_BACKTRACE` asks for it.
    public static func raise() {
        umask(0o077)
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        _ = hulda_hide_memory()
        guard getenv("SWIFT_BACKTRACE") == nil else { return }
        for number in [SIGQUIT, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] { undo(number) }
    }

    /// A signal ends the process as the system has it, unless whoever started it has it ignored.
    private static func undo(_ number: Int32) {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0,
            unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) != unsafeBitCast(SIG_IGN, to: Int.self)
        else { return }
        signal(number, SIG_DFL)
    }

    /// Whether this process's memory is out of reach for dumps and for others of the same user.
    public static var isRaised: Bool { hulda_is_dumpable() == 0 }
}
