// prctl(2) takes a variable number of arguments, which Swift cannot call.
#include <sys/prctl.h>

/// Keeps memory out of core dumps, and other processes of the same user from reading it. 0 when it was done.
static inline int hulda_hide_memory(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

/// Whether memory may be dumped: 0 when not.
static inline int hulda_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }
