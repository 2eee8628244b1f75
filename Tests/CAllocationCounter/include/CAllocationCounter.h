#ifndef HULDA_ALLOCATION_COUNTER_H
#define HULDA_ALLOCATION_COUNTER_H

/// Number of calls to malloc, calloc, realloc and the aligned variants made by this thread so far.
unsigned long hulda_thread_allocations(void);

#endif
