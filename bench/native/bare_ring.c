/* bare_ring: takes the place of the library's ring_open: the ring lies in plain memory, not in its
 * file. Nothing survives; to be measured against only. */
#include <sys/mman.h>

#define mmap(address, bytes, protection, flags, fd, offset)                                        \
    mmap(address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, offset)
#include "ring/ring_open.c"
