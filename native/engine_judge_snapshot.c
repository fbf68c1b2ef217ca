/* judge snapshot: the state as it was at one instant, read while the judge goes on. Copy on first
 * touch: before it writes to a page that it has not touched since the snapshot was opened, the
 * judge keeps a copy; the reader takes that copy where there is one, else the page itself.
 *
 * Pairing  the judge copies a page, tells its place (release), and only then writes. The reader
 *          copies the page, then asks for its place (behind an acquire fence): none means that no
 *          write had begun while it read, else the kept copy holds and what it read is thrown away.
 *          Neither waits for the other.
 * Threads  begin, end: writer lock. keep: the judge. read: one thread, no lock; from end on nobody.
 * Bound    kept pages: each page once, so never more than the state; all but the first
 *          KEPT_BYTES go back to the system at the end. */
#include "engine_judge_state.h"

#include <sys/mman.h>

#define KEPT_BYTES (UINT64_C(4) << 20)

#ifdef __SANITIZE_THREAD__ /* gcc's knows no fences, and is not shown what these order */
#define FENCE(order) __atomic_signal_fence(order)
#else
#define FENCE(order) __atomic_thread_fence(order)
#endif

_Static_assert(4096 % JUDGE_PAGE_BYTES == 0, "no page lies in two arenas");

void judge_snapshot_keep(judge_snapshot *snapshot, const void *item, size_t bytes) {
    uint64_t at = (uint64_t)((const uint8_t *)item - snapshot->from);
    if (bytes == 0 || at >= snapshot->bytes) /* a derived table */
        return;
    uint32_t last = (uint32_t)((at + bytes - 1) / JUDGE_PAGE_BYTES);
    for (uint32_t page = (uint32_t)(at / JUDGE_PAGE_BYTES); page <= last; page++) {
        if (snapshot->place_of[page])
            continue;
        uint64_t place = snapshot->count++;
        memcpy(snapshot->kept + place * JUDGE_PAGE_BYTES,
               snapshot->from + (uint64_t)page * JUDGE_PAGE_BYTES, JUDGE_PAGE_BYTES);
        snapshot->page_at[place] = page;
        __atomic_store_n(&snapshot->place_of[page], (uint32_t)place + 1, __ATOMIC_RELEASE);
    }
    FENCE(__ATOMIC_RELEASE); /* the caller's writes come behind it */
}

/* The judge may write here meanwhile: each word is read once, and what was torn is thrown away. No
 * sanitizer can know that. */
__attribute__((no_sanitize("thread"), noinline)) static void
copy_live(uint8_t *out, const uint8_t *from, size_t bytes) {
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word = *(const volatile uint64_t *)(const volatile void *)(from + at);
        pstk_store_u64(out + at, word);
    }
    for (; at < bytes; at++)
        out[at] = *(const volatile uint8_t *)(from + at);
}

static void read_span(const judge_snapshot *snapshot, const uint8_t *from, uint8_t *out,
                      size_t bytes) {
    while (bytes) {
        uint64_t at = (uint64_t)(from - snapshot->from);
        uint32_t page = (uint32_t)(at / JUDGE_PAGE_BYTES);
        size_t inside = at % JUDGE_PAGE_BYTES, take = PSTK_MIN(JUDGE_PAGE_BYTES - inside, bytes);
        uint32_t place = __atomic_load_n(&snapshot->place_of[page], __ATOMIC_ACQUIRE);
        if (!place) {
            copy_live(out, from, take);
            FENCE(__ATOMIC_ACQUIRE);
            place = __atomic_load_n(&snapshot->place_of[page], __ATOMIC_ACQUIRE);
        }
        if (place)
            memcpy(out, snapshot->kept + (place - 1) * (uint64_t)JUDGE_PAGE_BYTES + inside, take);
        from += take;
        out += take;
        bytes -= take;
    }
}

/* Pending events may go over the end of their ring. */
static void read_events(const pstk_judge *judge, uint64_t at, uint8_t *out, size_t bytes) {
    uint64_t ring_bytes = (uint64_t)judge->options.event_slots * sizeof *judge->event;
    uint64_t first = judge->snapshot.first_event & (judge->options.event_slots - 1);
    while (bytes) {
        uint64_t inside = (first * sizeof *judge->event + at) % ring_bytes;
        size_t take = (size_t)PSTK_MIN(ring_bytes - inside, bytes);
        read_span(&judge->snapshot, (const uint8_t *)judge->event + inside, out, take);
        at += take;
        out += take;
        bytes -= take;
    }
}

void pstk_judge_snapshot_read(const pstk_judge *judge, const pstk_section *section, uint64_t at,
                              void *out, size_t bytes) {
    const judge_snapshot *snapshot = &judge->snapshot;
    const uint8_t *from = (const uint8_t *)section->bytes + at;
    if (section->tag == PSTK_SECTION_PENDING)
        read_events(judge, at, out, bytes);
    else if (from >= snapshot->from && from < snapshot->from + snapshot->bytes)
        read_span(snapshot, from, out, bytes);
    else
        memcpy(out, from, bytes);
}

void judge_snapshot_open(pstk_judge *judge) {
    judge_snapshot *snapshot = &judge->snapshot;
    PSTK_ASSERT(!snapshot->is_open && snapshot->count == 0);
    snapshot->head = judge->head;
    snapshot->first_event = pstk_judge_events_acknowledged(judge);
    snapshot->is_open = true;
}

bool pstk_judge_has_snapshot(const pstk_judge *judge) { return judge->snapshot.is_open; }

void pstk_judge_snapshot_end(pstk_judge *judge) { judge->snapshot.is_open = false; }

void pstk_judge_snapshot_clear(pstk_judge *judge) {
    judge_snapshot *snapshot = &judge->snapshot;
    for (uint32_t place = 0; place < snapshot->count; place++)
        snapshot->place_of[snapshot->page_at[place]] = 0;
    uint64_t bytes = (uint64_t)snapshot->count * JUDGE_PAGE_BYTES;
    snapshot->count = 0;
    if (bytes > KEPT_BYTES) /* a refusal costs memory and nothing else */
        (void)madvise(snapshot->kept + KEPT_BYTES, (bytes - KEPT_BYTES + 4095) & ~UINT64_C(4095),
                      MADV_DONTNEED);
}
