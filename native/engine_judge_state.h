/* judge state: every table of the judge. Private to engine_judge*.c.
 * Layout   arenas addressed by index; index 0 is no item (tags alone are addressed by their id). No
 * pointer lies in an arena, so an image is their bytes. Hash tables, lists and heaps of deadlines
 * are derived and made again by restore. Threads  the writer lock, but for the event and result
 * rings, whose cursors pair release with acquire. Bound    each arena has its maximum, reserved at
 * open without committing memory. */
#ifndef PSTK_ENGINE_JUDGE_STATE_H
#define PSTK_ENGINE_JUDGE_STATE_H

#include "engine_judge.h"
#include "engine_judge_alarm.h"
#include "engine_judge_group.h"
#include "engine_judge_names.h"
#include "engine_judge_time.h"
#include "engine_judge_window.h"
#include "rule/rule.h"
#include "window/window.h"

#define JUDGE_RULES_PER_TAG 16u
#define JUDGE_BEFORE_NS (-PSTK_RULE_TIME_MAX - 1) /* earlier than any sample */
#define JUDGE_PAGE_BYTES 512u /* what the first touch copies while a snapshot is open */

/* ---- items ---------------------------------------------------------------------------------- */

enum {                       /* judge_hot.slow: why a sample of the tag leaves the fast path */
       JUDGE_SLOW_EVENT = 1, /* bound to a rule of event order */
       JUDGE_SLOW_WIDE = 2,  /* bound to a window that tells more, or does not tumble */
       JUDGE_SLOW_CODE = 4,  /* not a number */
};

#define JUDGE_WINDOWS_WIDE 0x80u

typedef struct judge_hot { /* one cache line a tag: what each sample touches */
    double low,
        high; /* strictly between, and before calm_ns, no arrival limit of the tag can change */
    int64_t last_ns; /* newest event time that arrival limits saw; no pane holds a newer one */
    /* Derived. The fast path takes (last_ns, until_ns): all windows have a pane in place that ends
     * no earlier. INT64_MIN: it takes nothing, until the slow path has looked again. */
    int64_t until_ns;
    int64_t calm_ns; /* a folded minute ends here and must be told; INT64_MAX = none */
    uint32_t stream; /* it came with this one last; 0 = none yet */
    uint32_t window; /* its first window */
    uint32_t bind;   /* its first binding, windows apart */
    uint32_t clock;
    uint16_t source;
    uint8_t type;                         /* 0 = not known to the judge */
    uint8_t slow;                         /* JUDGE_SLOW_* */
    uint8_t is_integer;                   /* the value is read as i64 */
    uint8_t has_limit : 1, is_row : 1;    /* is_row: its windows follow one another */
    uint8_t has_ordered : 1, has_cut : 1; /* wide windows take its samples from the heap; it names
                                             the lot or order of some */
    uint8_t rules;                        /* bound to it, at most JUDGE_RULES_PER_TAG */
    uint8_t windows; /* plain ones of them; JUDGE_WINDOWS_WIDE: the fast path fills others too */
} judge_hot;
_Static_assert(sizeof(judge_hot) == 64, "one cache line");

typedef struct judge_instance { /* a rule at a tag, or at what '*' matched; there are millions */
    uint32_t next;              /* free list; in use: its chain of the hash (derived) */
    uint32_t key;               /* alarms, window: tag + 1; gap: stream + 1; else judge_capture */
    uint32_t asset;             /* judge_asset */
    uint32_t state; /* judge_window, judge_group or judge_limit (alarms); a limit that has never
                       been other than calm has none: 0 */
    uint32_t last;  /* judge_last, or 0 */
    uint32_t touched_next; /* derived */
    uint16_t rule;      /* slot + 1 in the live table; 0 = the rule is gone, kept for its return */
    uint16_t name;      /* judge_name */
    uint8_t kind;       /* pstk_rule_kind */
    uint8_t is_touched; /* derived */
    uint16_t is_wide;   /* window: state is a judge_wide */
} judge_instance;
_Static_assert(sizeof(judge_instance) == 32, "half a cache line");
_Static_assert(PSTK_RULES_MAX < UINT16_MAX && JUDGE_NAMES_MAX < UINT16_MAX, "fit an instance");

typedef struct judge_last { /* identity of an instance's last event: how often the same came before
                             */
    uint32_t link;
    uint32_t epoch;
    int64_t at_ns;
    uint32_t occurrence;
    uint32_t kind; /* pstk_event_kind */
    /* Freshness: what this table told, and those before it. Each counts on from the ones before. */
    int64_t newest_ns, before_ns;
    uint32_t top, base; /* one beyond the highest occurrence; 0: nothing was told */
} judge_last;

typedef struct judge_bind {
    uint32_t link;
    uint32_t instance : 29, role : 3;
} judge_bind;
_Static_assert(PSTK_ROLE_COUNT <= 8, "fits a bind");

/* ---- arenas --------------------------------------------------------------------------------- */

/* Each is one section of the image, tag = 'A' << 8 | number. */
#define JUDGE_ARENA_LIST(X)                                                                        \
    X(HOT, judge_hot)                                                                              \
    X(INSTANCE, judge_instance)                                                                    \
    X(LAST, judge_last)                                                                            \
    X(LIMIT, judge_limit)                                                                          \
    X(DELAY, judge_delay)                                                                          \
    X(RATE, judge_rate)                                                                            \
    X(WATCH, judge_watch)                                                                          \
    X(SHELF, judge_shelf)                                                                          \
    X(LATCH, judge_latch)                                                                          \
    X(WINDOW, judge_window)                                                                        \
    X(PANE, judge_pane)                                                                            \
    X(WIDE, judge_wide)                                                                            \
    X(WIDE_PANE, judge_wide_pane)                                                                  \
    X(OLD_RULE, judge_old_rule)                                                                    \
    X(GROUP, judge_group)                                                                          \
    X(NODE, judge_node)                                                                            \
    X(STREAM, judge_stream)                                                                        \
    X(CLOCK, judge_clock)                                                                          \
    X(SOURCE, judge_source)                                                                        \
    X(ASSET, judge_asset)                                                                          \
    X(NAME, judge_name)                                                                            \
    X(CAPTURE, judge_capture)                                                                      \
    X(BASELINE, judge_baseline)                                                                    \
    X(CONFIG_SOURCE, pstk_config_source)                                                           \
    X(CONFIG_RULE, pstk_rule)                                                                      \
    X(STAGED_SOURCE, pstk_config_source)                                                           \
    X(STAGED_RULE, pstk_rule)

enum {
#define JUDGE_ARENA_ENUM(name, type) JUDGE_##name,
    JUDGE_ARENA_LIST(JUDGE_ARENA_ENUM)
#undef JUDGE_ARENA_ENUM
        JUDGE_ARENA_COUNT,
    JUDGE_BIND = JUDGE_ARENA_COUNT, /* derived, not in the image */
    JUDGE_ARENA_ALL
};

typedef struct judge_arena {
    uint8_t *base;
    uint64_t reserved_bytes;
    uint32_t item; /* bytes of one */
    uint32_t max;
    uint32_t count; /* in use from 0 on, freed ones among them */
    uint32_t free;  /* first freed item; the link is its first word (judge_window: its own) */
} judge_arena;

/* ---- the judge ------------------------------------------------------------------------------ */

typedef struct judge_head { /* saved; scalars of the image */
    int64_t now_ns;         /* engine time */
    uint64_t ordinal;
    uint64_t pos; /* block that is or was judged last */
    pstk_judge_counters counters;
    uint32_t count[JUDGE_ARENA_COUNT];
    uint32_t free[JUDGE_ARENA_COUNT];
    uint32_t generation; /* of the live tables */
    uint32_t staged_generation;
    uint32_t staged_source_total, staged_rule_total;
    uint32_t restarts; /* CONFIGs at restart_ns: tells equal stamps apart */
    uint32_t is_staging;
    int64_t restart_ns;
    uint8_t staged_digest[32];
} judge_head;

typedef struct judge_place { /* where inside a block judging stands; lives only between two calls
                                for one block */
    bool is_active;
    uint32_t phase;
    uint32_t sample;
    uint32_t node;
    uint32_t step;
} judge_place;

typedef struct judge_deadline {
    int64_t at_ns;
    uint32_t limit;
    uint32_t reserved;
} judge_deadline;

typedef struct judge_table { /* derived: open addressing, values are indices */
    uint32_t *slot;
    uint64_t reserved_bytes;
    uint32_t mask;
} judge_table;

/* Copy on first touch (engine_judge_snapshot.c). Pages are counted from the mapping's begin. */
typedef struct judge_snapshot {
    bool is_open;       /* writer lock */
    uint8_t *from;      /* arenas and events: what a snapshot can hold */
    uint64_t bytes;     /* of these */
    uint32_t *place_of; /* by page: its place in kept + 1; 0 = not touched yet. The judge stores it
                           with release, the reader loads it with acquire */
    uint32_t *page_at;  /* by place */
    uint8_t *kept;      /* pages as they were, in the order of their first touch */
    uint32_t count;     /* of them */
    uint32_t kept_max;  /* most of them since their memory was given back */
    struct {
        uint32_t begin, page, end;
    } walk[2]; /* pages of the tables that the fast path writes: kept up to page */
    judge_head head;
    uint64_t first_event;
} judge_snapshot;

struct pstk_judge {
    judge_head head;
    judge_place place;
    judge_arena arena[JUDGE_ARENA_ALL];
    pstk_judge_options options;
    const pstk_tags *tags;
    size_t plant_bytes;
    bool is_plain; /* the fast path is off */

    uint32_t touched, touched_last; /* instances of the present instant */
    uint32_t held, held_tail;       /* and its samples that wide windows take, by right */
    uint32_t held_bind;             /* where the first of them stands; 0 = at the beginning */
    uint32_t held_cuts;             /* so many of them may cut: they come first */
    uint32_t held_cut;              /* the one that is at it; 0 = the first */
    struct judge_row *row_of;       /* by clock; engine_judge_order.h */
    int64_t instant_ns;
    uint32_t instant_clock;
    judge_suppression suppression;
    bool is_early;            /* an overflow let the instant out: later ones may lie before it */
    uint32_t sweeping;        /* clocks whose sweep is under way */
    int64_t idle_due_ns;      /* no stream turns idle earlier */
    int64_t clock_due_ns;     /* engine time at which an idle clock reaches something that waits */
    judge_deadline *deadline; /* binary heap of limits */
    uint32_t deadline_count;
    judge_table instances, streams, assets, names, captures;
    uint8_t *is_live;         /* by slot: the rule is valid, and the first of its name and series */
    uint32_t *name_of;        /* by slot: judge_name, 0 = not live */
    uint32_t *staged_of_name; /* slot + 1 in the staged table, by judge_name */
    uint16_t *retired_of;     /* by slot: judge_old_rule that a CONFIG has made of it, or 0 */
    uint8_t *is_told;         /* by judge_name: a restart event has been made */

    pstk_event *event; /* ring; head is ours, acknowledged the consumer's */
    uint64_t event_head, event_acknowledged;
    pstk_result *result; /* ring; a seqlock by two cursors */
    uint64_t result_begin, result_head;
    pstk_aggregates *more; /* ring: of results whose rules ask for more; no older than these */
    uint64_t more_head;
    uint64_t result_tail, result_overwritten; /* the consumer's */
    judge_snapshot snapshot;
    void *map; /* one mapping holds everything above */
    uint64_t map_bytes;
};

/* Before whatever a snapshot holds is written: its pages are kept as they were. */
void judge_snapshot_keep(judge_snapshot *snapshot, const void *item, size_t bytes);
static inline void judge_touch(const pstk_judge *judge, const void *item, size_t bytes) {
    if (PSTK_UNLIKELY(judge->snapshot.is_open))
        judge_snapshot_keep((judge_snapshot *)&judge->snapshot, item, bytes);
}

/* Each comes twice: judge_x_at for whoever may write, judge_x_raw to read; that keeps nothing. */
#define JUDGE_ACCESS(name, function, type)                                                         \
    static inline const type *judge_##function##_raw(const pstk_judge *judge, uint32_t index) {    \
        return (const type *)(const void *)judge->arena[JUDGE_##name].base + index;                \
    }                                                                                              \
    static inline type *judge_##function##_at(const pstk_judge *judge, uint32_t index) {           \
        type *item = (type *)(void *)judge->arena[JUDGE_##name].base + index;                      \
        judge_touch(judge, item, sizeof *item);                                                    \
        return item;                                                                               \
    }
JUDGE_ACCESS(HOT, hot, judge_hot)
JUDGE_ACCESS(INSTANCE, instance, judge_instance)
JUDGE_ACCESS(LAST, last, judge_last)
JUDGE_ACCESS(LIMIT, limit, judge_limit)
JUDGE_ACCESS(DELAY, delay, judge_delay)
JUDGE_ACCESS(RATE, rate, judge_rate)
JUDGE_ACCESS(WATCH, watch, judge_watch)
JUDGE_ACCESS(SHELF, shelf, judge_shelf)
JUDGE_ACCESS(LATCH, latch, judge_latch)
JUDGE_ACCESS(WINDOW, window, judge_window)
JUDGE_ACCESS(PANE, pane, judge_pane)
JUDGE_ACCESS(WIDE, wide, judge_wide)
JUDGE_ACCESS(WIDE_PANE, wide_pane, judge_wide_pane)
JUDGE_ACCESS(GROUP, group, judge_group)
JUDGE_ACCESS(NODE, node, judge_node)
JUDGE_ACCESS(STREAM, stream, judge_stream)
JUDGE_ACCESS(CLOCK, clock, judge_clock)
JUDGE_ACCESS(SOURCE, source, judge_source)
JUDGE_ACCESS(ASSET, asset, judge_asset)
JUDGE_ACCESS(NAME, name, judge_name)
JUDGE_ACCESS(CAPTURE, capture, judge_capture)
JUDGE_ACCESS(BASELINE, baseline, judge_baseline)
JUDGE_ACCESS(CONFIG_SOURCE, config_source, pstk_config_source)
JUDGE_ACCESS(CONFIG_RULE, rule, pstk_rule)
JUDGE_ACCESS(STAGED_SOURCE, staged_source, pstk_config_source)
JUDGE_ACCESS(STAGED_RULE, staged_rule, pstk_rule)
JUDGE_ACCESS(OLD_RULE, old_rule, judge_old_rule)
JUDGE_ACCESS(BIND, bind, judge_bind)

/* Index of a new, zeroed item, or 0: full. */
uint32_t judge_arena_take(pstk_judge *judge, int arena);
void judge_arena_drop(pstk_judge *judge, int arena, uint32_t index);

static inline uint32_t judge_count(const pstk_judge *judge, int arena) {
    return judge->arena[arena].count;
}

/* Statistics are read beside the judge: one relaxed store, no lock. */
#define JUDGE_COUNT(counter, n) __atomic_store_n(&(counter), (counter) + (n), __ATOMIC_RELAXED)

/* The rule an instance lives by; only for one that is bound. */
static inline const pstk_rule *judge_rule_of(const pstk_judge *judge,
                                             const judge_instance *instance) {
    return judge_rule_raw(judge, instance->rule - 1);
}
static inline bool judge_is_bad(uint16_t quality) { return (quality & 0xC000u) == 0x8000u; }
static inline bool judge_is_uncertain(uint16_t quality) { return (quality & 0xC000u) == 0x4000u; }
static inline bool judge_is_tag(const pstk_judge *judge, uint32_t tag) {
    return tag < judge_count(judge, JUDGE_HOT) && judge_hot_at(judge, tag)->type != PSTK_TYPE_NONE;
}
/* Same value, other type; false where it does not fit exactly. */
bool judge_convert(uint8_t from, pstk_value value, uint8_t to, pstk_value *out);

/* ---- engine_judge_emit.c -------------------------------------------------------------------- */

/* Every step asks first: there is room for whatever one step can emit. */
bool judge_has_room(const pstk_judge *judge);
/* Begins the event of an instance in the ring's next slot; commit gives it identity and publishes
 * it. */
pstk_event *judge_event_begin(pstk_judge *judge, uint32_t instance, pstk_event_kind kind,
                              int64_t at_ns);
void judge_event_commit(pstk_judge *judge, uint32_t instance, pstk_event *event);
/* The rule of a tag that fell silent begins anew: what it tells then is told apart from before. */
void judge_told_end(pstk_judge *judge, const judge_instance *instance);
/* more: NULL where the rule asks for none. */
void judge_result_put(pstk_judge *judge, const pstk_result *result, const pstk_aggregates *more);
uint32_t judge_tag_of(const pstk_judge *judge,
                      const judge_instance *instance); /* UINT32_MAX = none yet */

/* ---- engine_judge_snapshot.c ---------------------------------------------------------------- */

void judge_snapshot_open(pstk_judge *judge);
/* Keeps the next pages of the tables that the fast path writes; true once all of them are kept. */
bool judge_snapshot_walk(judge_snapshot *snapshot);

/* ---- engine_judge_bind.c: which instance hears which tag ------------------------------------ */

void judge_tag_take(pstk_judge *judge, const pstk_tag_record *record);
void judge_bind_rebuild(pstk_judge *judge, bool may_create);
void judge_instances_rebuild(pstk_judge *judge); /* the hash */
uint32_t judge_instance_find(const pstk_judge *judge, uint32_t name, uint8_t kind, uint32_t key);
void judge_instance_drop(pstk_judge *judge, uint32_t instance); /* alarms and windows only */
/* A rule of the live table at a key; without its state. 0: refused, and counted. */
uint32_t judge_instance_make(pstk_judge *judge, uint32_t slot, uint32_t name, uint32_t key,
                             uint32_t asset);
/* Does the rule's VALUE name that tag, and as what. */
bool judge_pattern_of(const pstk_judge *judge, const pstk_rule *rule, uint32_t tag,
                      const char **out_capture, size_t *out_bytes);
bool judge_rule_is_valid(const pstk_rule *rule);

/* ---- engine_judge_config.c ------------------------------------------------------------------ */

/* True once a whole table has come and must be applied. */
bool judge_config_stage(pstk_judge *judge, const uint8_t *payload, size_t bytes);
bool judge_config_apply(pstk_judge *judge);  /* resumable */
void judge_rules_rebuild(pstk_judge *judge); /* is_live */

/* ---- engine_judge_samples.c ----------------------------------------------------------------- */

bool judge_samples_run(pstk_judge *judge, const pstk_block *block); /* resumable */

/* ---- engine_judge_image.c ------------------------------------------------------------------- */

#define JUDGE_SECTION_ARENA(k) ((uint32_t)('A' << 8 | (k)))
int judge_events_restore(pstk_judge *judge, const pstk_image *image, bool is_older,
                         pstk_error *err);

#endif
