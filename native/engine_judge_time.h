/* judge time: sources, their streams and clocks, and what waits for a watermark. Private to
 * engine_judge*.c; a part of engine_judge_state.h, which says how items lie. */
#ifndef PSTK_ENGINE_JUDGE_TIME_H
#define PSTK_ENGINE_JUDGE_TIME_H

#include "engine_judge.h"
#include "rule/rule.h"

#define JUDGE_GAPS 8u /* per stream; the two nearest merge when there are more */
#define JUDGE_REGRESS_NS (3600 * PSTK_NS_PER_S)
#define JUDGE_REGRESS_T_NS (10 * PSTK_NS_PER_S)
#define JUDGE_REGRESS_SAMPLES 100u

typedef struct judge_node { /* waits for the watermark; skew heap by (time, ordinal) */
    uint32_t link;          /* free list */
    uint32_t left, right;
    uint32_t tag;      /* sample of this tag, or */
    uint32_t instance; /* 0, or the instance to wake */
    uint16_t quality;
    uint8_t is_boundary; /* instance: its interval ends */
    uint8_t role;        /* instance: pstk_role whose value comes with it; 0 = the context */
    int64_t time_ns;
    uint64_t ordinal;
    pstk_value value;
} judge_node;

typedef struct judge_gap {
    int64_t from_ns, to_ns;
} judge_gap;

typedef struct judge_stream { /* part of a source with one clock */
    uint32_t link;
    uint32_t next;   /* of the source; derived */
    uint32_t key;    /* index in blocks */
    uint32_t number; /* as its messages say; PSTK_STREAM_UNNUMBERED: they say none */
    uint32_t boot;
    uint32_t epoch;     /* clock regressions */
    uint32_t run_count; /* samples far behind in a row */
    uint16_t source;
    uint8_t has_max, is_idle;
    uint8_t is_alone; /* it has regressed: its own clock, holds no other's watermark */
    uint8_t has_gap;  /* lost since gap_from_ns, until its next sample */
    uint16_t gap_count;
    int64_t max_ns;
    int64_t recv_ns;  /* engine time of its newest block */
    int64_t quiet_ns; /* idle counts from here: recv_ns, or the source's UP */
    int64_t run_recv_ns, run_max_ns;
    int64_t gap_from_ns;
    uint64_t lost;         /* samples, since its newest one: told with the next */
    int64_t lost_from_ns;  /* its newest then, or engine time where it had none */
    int64_t first_lost_ns; /* the same of what it lost before its first one */
    uint32_t lost_times;   /* gaps of this lost_from_ns */
    uint32_t is_first_lost;
    judge_gap gap[JUDGE_GAPS];
} judge_stream;

typedef struct judge_clock { /* a watermark and what waits for it: of a source, or of a stream that
                                has regressed */
    int64_t watermark_ns;
    int64_t lateness_ns;
    int64_t heap_ns; /* time of the heap's top; INT64_MAX = empty */
    int64_t due_ns;  /* no window ends earlier */
    int64_t sweep_due_ns;
    uint32_t heap;                  /* judge_node */
    uint32_t windows, windows_tail; /* derived list */
    uint32_t sweep;                 /* derived: where the sweep stands */
    uint8_t is_sweeping;
    uint8_t reserved[3];
    uint32_t wide;   /* derived: heap of wide windows by what is due first */
    int64_t wide_ns; /* derived: when; INT64_MAX = nothing */
} judge_clock;

typedef struct judge_source {
    int64_t idle_after_ns;
    uint64_t late, out_of_order;
    uint32_t streams; /* derived list */
    uint8_t is_known, is_down;
    uint8_t reserved[2];
} judge_source;

static inline uint32_t judge_source_clock(uint16_t source) { return (uint32_t)source + 1; }
static inline uint32_t judge_stream_clock(uint32_t stream) { return PSTK_SOURCES_MAX + 1 + stream; }

/* ---- engine_judge_time.c: streams, watermarks, ticks ---------------------------------------- */

uint32_t judge_stream_find(const pstk_judge *judge, uint16_t source, uint32_t key);
uint32_t judge_stream_open(pstk_judge *judge, uint16_t source, uint32_t key);
void judge_streams_rebuild(pstk_judge *judge);
void judge_time_refresh(pstk_judge *judge);
void judge_watermark_update(pstk_judge *judge, uint16_t source);
void judge_stream_alone(pstk_judge *judge, uint32_t index);
int64_t judge_others_ns(const pstk_judge *judge,
                        uint32_t stream); /* least maximum of its source's other live streams */
void judge_source_take(pstk_judge *judge, uint16_t source, uint32_t key,
                       const pstk_source_record *record);
/* T jumped, and no time has passed: whatever remembers when something came goes with it. */
void judge_time_shift(pstk_judge *judge, int64_t by_ns);
void judge_idle_mark(pstk_judge *judge);
void judge_gap_open(pstk_judge *judge, uint32_t stream);
void judge_gap_close(pstk_judge *judge, uint32_t stream, int64_t time_ns);
/* A gap of the stream lies between the two times, or reaches in. */
bool judge_gap_between(const pstk_judge *judge, uint32_t stream, int64_t after_ns,
                       int64_t before_ns);
bool judge_regress(pstk_judge *judge, uint32_t stream); /* resumable */

/* ---- engine_judge_gap.c: what a numbered stream lost ---------------------------------------- */

void judge_lost_take(pstk_judge *judge, uint32_t stream, uint64_t lost);
/* With the stream's next sample: by each gap rule of its source. Resumable. */
bool judge_lost_tell(pstk_judge *judge, uint32_t stream, int64_t time_ns);
void judge_lost_bind(pstk_judge *judge, uint32_t stream); /* the rules that hear it */

/* ---- engine_judge_heap.c: event order ------------------------------------------------------- */

bool judge_heap_push(pstk_judge *judge, uint32_t clock,
                     const judge_node *node); /* false: no node is free */
void judge_heap_pop_instant(pstk_judge *judge, uint32_t clock, bool is_early);
bool judge_touched_run(pstk_judge *judge);                 /* resumable */
bool judge_clock_drain(pstk_judge *judge, uint32_t clock); /* resumable: all below the watermark */
/* Resumable: all; what lies before known_ns as if the watermark were there. */
bool judge_clock_flush(pstk_judge *judge, uint32_t clock, int64_t known_ns);
/* A cut told from outside: the instance transits when the watermark passes at_ns. */
void judge_wake(pstk_judge *judge, uint32_t instance, int64_t at_ns);

#endif
