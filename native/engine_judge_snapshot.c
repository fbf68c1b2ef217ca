/* judge snapshot: the state as it was at one instant, read while the judge goes on. Copy on first
 * touch: before it writes to a page that it has not touched since the snapshot was opened, the
 * judge keeps a copy; the reader takes that copy where there is one, else the page itself.
 *
 * Pairing  the judge copies a page, tells its place (release), and only then writes. The reader
 *          copies the page, then asks for its place (behind an acquire fence): none means that no
 *          write had begun while it read, else the kept copy holds and what it read is thrown away.
 *          Neither waits for the other.
 * Walk     samples of many tags would touch every page of their tables within a few blocks, one by
 *          one and from far memory. So each block first keeps the next WALK_PAGES in a row; once
 *          through, no block asks any more.
 * Threads  begin, end: writer lock. keep, walk: the judge. read: one thread, no lock; from end on
 *          nobody.
 * Bound    kept pages: each page once, so never more than the state. They go back to the system
 *          where the caller says so: not between checkpoints that follow one another fast. */
#include "engine_judge_state.h"

#include <sys/mman.h>

#ifndef WALK_PAGES       /* a test walks in small steps */
#define WALK_PAGES 4096u /* in one block; 2 MiB, 0.3 ms */
#endif

#ifdef __SANITIZE_THREAD__ /* gcc's knows no fences, and is not shown what these order */
#define FENCE(order) __atomic_signal_fence(order)
#else
#define FENCE(order) __atomic_thread_fence(order)
#endif

_Static_assert(4096 % JUDGE_PAGE_BYTES == 0, "no page lies in two arenas");

/* Pages that follow one another, none of them kept yet. */
static void keep_run(judge_snapshot *snapshot, uint32_t page, uint32_t count) {
    uint32_t place = snapshot->count;
    memcpy(snapshot->kept + (uint64_t)place * JUDGE_PAGE_BYTES,
           snapshot->from + (uint64_t)page * JUDGE_PAGE_BYTES, (size_t)count * JUDGE_PAGE_BYTES);
    snapshot->count += count;
    for (uint32_t k = 0; k < count; k++) {
        snapshot->page_at[place + k] = page + k;
        __atomic_store_n(&snapshot->place_of[page + k], place + k + 1, __ATOMIC_RELEASE);
    }
}

/* Asked for each touch: without looking into far memory where the walk has been. */
static bool is_walked(const judge_snapshot *snapshot, uint32_t first, uint32_t last) {
    bool is_through = false;
    for (size_t k = 0; k < sizeof snapshot->walk / sizeof *snapshot->walk; k++)
        is_through |= first >= snapshot->walk[k].begin && last < snapshot->walk[k].page;
    return is_through;
}

void judge_snapshot_keep(judge_snapshot *snapshot, const void *item, size_t bytes) {
    uint64_t at = (uint64_t)((const uint8_t *)item - snapshot->from);
    if (bytes == 0 || at >= snapshot->bytes) /* a derived table */
        return;
    uint32_t first = (uint32_t)(at / JUDGE_PAGE_BYTES);
    uint32_t last = (uint32_t)((at + bytes - 1) / JUDGE_PAGE_BYTES);
    if (is_walked(snapshot, first, last))
        return;
    for (uint32_t page = first; page <= last; page++)
        if (!snapshot->place_of[page])
            keep_run(snapshot, page, 1);
    FENCE(__ATOMIC_RELEASE); /* the caller's writes come behind it */
}

bool judge_snapshot_walk(judge_snapshot *snapshot) {
    uint32_t budget = WALK_PAGES;
    for (size_t k = 0; k < sizeof snapshot->walk / sizeof *snapshot->walk; k++) {
        uint32_t page = snapshot->walk[k].page, end = snapshot->walk[k].end;
        while (page < end && budget) {
            uint32_t count = 0;
            while (page + count < end && count < budget && !snapshot->place_of[page + count])
                count++;
            if (count)
                keep_run(snapshot, page, count);
            page += PSTK_MAX(count, 1);
            budget -= count;
        }
        snapshot->walk[k].page = page;
        if (page < end)
            return false;
    }
    FENCE(__ATOMIC_RELEASE); /* as above */
    return true;
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

/* How many bytes from here lie in pages not kept, or in pages kept in one row: what one copy takes.
 */
static size_t run_bytes(const judge_snapshot *snapshot, uint32_t page, size_t inside, size_t bytes,
                        uint32_t place) {
    size_t row = JUDGE_PAGE_BYTES - inside;
    while (row < bytes) {
        uint32_t next = __atomic_load_n(&snapshot->place_of[++page], __ATOMIC_ACQUIRE);
        if (next != (place ? ++place : 0))
            break;
        row += JUDGE_PAGE_BYTES;
    }
    return PSTK_MIN(row, bytes);
}

/* Pages that were kept while the run was read. */
static void mend_run(const judge_snapshot *snapshot, uint64_t at, uint8_t *out, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        size_t inside = (at + done) % JUDGE_PAGE_BYTES;
        size_t take = PSTK_MIN(JUDGE_PAGE_BYTES - inside, bytes - done);
        uint32_t place =
            __atomic_load_n(&snapshot->place_of[(at + done) / JUDGE_PAGE_BYTES], __ATOMIC_ACQUIRE);
        if (place)
            memcpy(out + done, snapshot->kept + (place - 1) * (uint64_t)JUDGE_PAGE_BYTES + inside,
                   take);
        done += take;
    }
}

static void read_span(const judge_snapshot *snapshot, const uint8_t *from, uint8_t *out,
                      size_t bytes) {
    while (bytes) {
        uint64_t at = (uint64_t)(from - snapshot->from);
        uint32_t page = (uint32_t)(at / JUDGE_PAGE_BYTES);
        size_t inside = at % JUDGE_PAGE_BYTES;
        uint32_t place = __atomic_load_n(&snapshot->place_of[page], __ATOMIC_ACQUIRE);
        size_t take = run_bytes(snapshot, page, inside, bytes, place);
        if (place) {
            memcpy(out, snapshot->kept + (place - 1) * (uint64_t)JUDGE_PAGE_BYTES + inside, take);
        } else {
            copy_live(out, from, take);
            FENCE(__ATOMIC_ACQUIRE);
            mend_run(snapshot, at, out, take);
        }
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

/* ---- opening and closing -------------------------------------------------------------------- */

uint32_t pstk_judge_snapshot_pages(const pstk_judge *judge, uint64_t bytes_max) {
    uint64_t bytes = 0;
    static const int often[] = {JUDGE_HOT, JUDGE_WINDOW};
    for (size_t k = 0; k < sizeof often / sizeof *often; k++)
        bytes += (uint64_t)judge->arena[often[k]].count * judge->arena[often[k]].item;
    bytes = PSTK_MIN(PSTK_MIN(bytes + bytes / 4, judge->snapshot.bytes), bytes_max);
    return (uint32_t)(bytes / JUDGE_PAGE_BYTES);
}

/* A fault takes as long as to keep four pages. */
void pstk_judge_snapshot_prepare(pstk_judge *judge, uint32_t pages) {
    judge_snapshot *snapshot = &judge->snapshot;
    uint64_t step = 4096 / JUDGE_PAGE_BYTES;
    for (uint64_t place = snapshot->kept_max; place < pages; place += step)
        snapshot->kept[place * JUDGE_PAGE_BYTES] = 0;
    for (uint64_t place = snapshot->kept_max; place < pages; place += 4096 / sizeof(uint32_t))
        snapshot->page_at[place] = 0;
    snapshot->kept_max = PSTK_MAX(snapshot->kept_max, pages);
}

static void set_walk(pstk_judge *judge, size_t k, int arena) {
    const judge_arena *at = &judge->arena[arena];
    uint64_t begin = (uint64_t)(at->base - judge->snapshot.from);
    uint64_t end = begin + (uint64_t)at->count * at->item;
    judge->snapshot.walk[k].begin = judge->snapshot.walk[k].page =
        (uint32_t)(begin / JUDGE_PAGE_BYTES);
    judge->snapshot.walk[k].end = (uint32_t)((end + JUDGE_PAGE_BYTES - 1) / JUDGE_PAGE_BYTES);
}

void judge_snapshot_open(pstk_judge *judge) {
    judge_snapshot *snapshot = &judge->snapshot;
    PSTK_ASSERT(!snapshot->is_open && snapshot->count == 0);
    snapshot->head = judge->head;
    snapshot->first_event = pstk_judge_events_acknowledged(judge);
    set_walk(judge, 0, JUDGE_HOT);
    set_walk(judge, 1, JUDGE_WINDOW);
    snapshot->is_open = true;
}

bool pstk_judge_has_snapshot(const pstk_judge *judge) { return judge->snapshot.is_open; }

void pstk_judge_snapshot_end(pstk_judge *judge) { judge->snapshot.is_open = false; }

void pstk_judge_snapshot_clear(pstk_judge *judge, bool is_given_back) {
    judge_snapshot *snapshot = &judge->snapshot;
    for (uint32_t place = 0; place < snapshot->count; place++)
        snapshot->place_of[snapshot->page_at[place]] = 0;
    snapshot->kept_max = PSTK_MAX(snapshot->kept_max, snapshot->count);
    snapshot->count = 0;
    if (!is_given_back || snapshot->kept_max == 0)
        return;
    uint64_t bytes = ((uint64_t)snapshot->kept_max * JUDGE_PAGE_BYTES + 4095) & ~UINT64_C(4095);
    (void)madvise(snapshot->kept, bytes, MADV_DONTNEED); /* a refusal costs memory, nothing else */
    snapshot->kept_max = 0;
}
