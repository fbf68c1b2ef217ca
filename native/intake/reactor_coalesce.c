/* coalesce: how many bytes a TCP connection gathers before epoll wakes us (SO_RCVLOWAT).
 * A wake-up costs microseconds, a message nanoseconds, so at high rates most of the work is waking
 * up. The mark is what the connection brings in a quarter of the bound: the usual message then
 * waits an eighth of it, and only a sender that stops in mid-flow leaves the rest to the timer,
 * which reads at the bound whatever the mark says. At low rates (less than COALESCE_MARK_MIN in
 * that time) the mark is 1 and nothing waits. */
#include "reactor.h"

#define COALESCE_WINDOW_NS INT64_C(2000000) /* a rate is judged over at least this */
#define COALESCE_FILL 4                     /* the mark fills in bound / this */
#define COALESCE_MARK_MIN 256u
#define COALESCE_MARK_MAX (64u * 1024u)

uint32_t pstk_coalesce_note(pstk_coalesce *c, size_t bytes, int64_t now_ns, int64_t bound_ns) {
    c->read_ns = now_ns;
    c->window_bytes += bytes;
    int64_t elapsed_ns = now_ns - c->window_ns;
    if (elapsed_ns < COALESCE_WINDOW_NS)
        return c->mark;
    double fill = (double)c->window_bytes * (double)(bound_ns / COALESCE_FILL) / (double)elapsed_ns;
    c->window_ns = now_ns;
    c->window_bytes = 0;
    if (fill < COALESCE_MARK_MIN)
        return 1;
    uint32_t mark = fill > COALESCE_MARK_MAX ? COALESCE_MARK_MAX : (uint32_t)fill;
    /* Within a factor of two the old mark stays: each change is a system call. */
    return c->mark > mark / 2 && c->mark / 2 < mark ? c->mark : mark;
}
