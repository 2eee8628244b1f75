// Swift's Glibc module has neither the functions nor the macros: they need _GNU_SOURCE.
#define _GNU_SOURCE
#include "affinity.h"
#include <sched.h>

uint64_t hulda_affinity(void) {
    cpu_set_t set;
    uint64_t cores = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int core = 0; core < 64; core++) {
        if (CPU_ISSET(core, &set)) cores |= UINT64_C(1) << core;
    }
    return cores;
}

int hulda_bind(uint64_t cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int core = 0; core < 64; core++) {
        if (cores & (UINT64_C(1) << core)) CPU_SET(core, &set);
    }
    return sched_setaffinity(0, sizeof set, &set);
}
