#ifndef HULDA_AFFINITY_H
#define HULDA_AFFINITY_H

#include <stdint.h>

/// The processors, of the first 64, on which the calling thread may run; bit n is processor n.
uint64_t hulda_affinity(void);

/// Binds the calling thread to `cores`. Returns 0 when the system did it.
int hulda_bind(uint64_t cores);

#endif
