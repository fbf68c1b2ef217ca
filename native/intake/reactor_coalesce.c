/* coalesce: how many bytes a TCP connection gathers before epoll wakes us (SO_RCVLOWAT).
 * A wake-up costs microseconds, a message nanoseconds, so at high rates most of the work is waking
 * up. The mark is what the connection brings in a tenth of the bound: the usual message then waits
 * half of that, and only a sender that stops in mid-flow leaves the rest to the timer, which reads
 * at the bound whatever the mark says. Where that is more than COALESCE_DENSE bytes the mark grows
 * with the square of the rate, up to what comes in half of the bound: there it is the work of
 * waking up that fills the delay. At low rates (less than COALESCE_MARK_MIN in that time) the mark
 * is 1 and nothing waits. */
#include "reactor.h"

#define COALESCE_WINDOW_NS INT64_C(2000000) /* a rate is judged over at least this */
#define COALESCE_FILL 10                    /* the mark fills in bound / this */
#define COALESCE_FILL_DENSE 2               /* or, at high rates, in at most bound / this */
#define COALESCE_DENSE 4096.0
#define COALESCE_MARK_MIN 256u
#define COALESCE_MARK_MAX (64u * 1024u)

uint32_t pstk_coalesce_note(pstk_coalesce *c, size_t bytes, int64_t now_ns, int64_t bound_ns) {
    c->read_ns = now_ns;
    c->window_bytes += bytes;
    int64_t elapsed_ns = now_ns - c->window_ns;
    if (elapsed_ns < COALESCE_WINDOW_NS)
        return c->mark;
    double whole = (double)c->window_bytes * (double)bound_ns / (double)elapsed_ns;
    double fill = whole / COALESCE_FILL;
    if (fill > COALESCE_DENSE)
        fill = PSTK_MIN(fill * fill / COALESCE_DENSE, whole / COALESCE_FILL_DENSE);
    c->window_ns = now_ns;
    c->window_bytes = 0;
    if (fill < COALESCE_MARK_MIN)
        return 1;
    uint32_t mark = fill > COALESCE_MARK_MAX ? COALESCE_MARK_MAX : (uint32_t)fill;
    /* Within a factor of two the old mark stays: each change is a system call. */
    return c->mark > mark / 2 && c->mark / 2 < mark ? c->mark : mark;
}
