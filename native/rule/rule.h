/* rule: what limits, rates, stuck and silent tags, counters, totals and states mean, one instance
 * at a time. The one header of the stage. A step takes the state, the time and what arrived, and
 * gives facts: what has happened, without names or identity. Owner    the judge holds every state;
 * its bytes lie in the checkpoint, so they hold no pointer. Threads  pure: only the arguments are
 * touched. No clock, no allocation. Bound    PSTK_LIMIT_FACTS_MAX and PSTK_SEGMENT_FACTS_MAX facts
 * a step. */
#ifndef PSTK_RULE_STAGE_H
#define PSTK_RULE_STAGE_H

#include "../base/base.h"

/* Event times beyond +-146 years around 1970 are damaged records; inside, sums of two times cannot
 * overflow. */
#define PSTK_RULE_TIME_MAX (INT64_C(1) << 62)

static inline int64_t pstk_time_add(int64_t a, int64_t b) { /* saturating */
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

static inline int64_t pstk_time_since(int64_t now, int64_t then) { /* saturating */
    int64_t span;
    return __builtin_sub_overflow(now, then, &span) ? (now > 0 ? INT64_MAX : INT64_MIN) : span;
}

/* Start of the interval of size_ns that holds time_ns: offset + k * size, floor for negative times
 * too. */
static inline int64_t pstk_time_floor(int64_t time_ns, int64_t size_ns, int64_t offset_ns) {
    int64_t shifted = pstk_time_add(time_ns, -(offset_ns % size_ns));
    int64_t rest = shifted % size_ns;
    return time_ns - (rest < 0 ? rest + size_ns : rest);
}

/* ---- patterns: one '*' at most -------------------------------------------------------------- */

/* True where pattern covers name; the capture is what '*' matched (empty where there is no '*'). */
bool pstk_pattern_match(const char *pattern, const char *name, size_t name_bytes,
                        const char **out_capture, size_t *out_capture_bytes);
bool pstk_pattern_has_star(const char *pattern);
/* The pattern with '*' replaced; false where it does not fit. */
bool pstk_pattern_fill(const char *pattern, const char *capture, size_t capture_bytes, char *out,
                       size_t capacity);

/* ---- limits: ISA-18.2 words, OPC UA Part 9 meaning ------------------------------------------ */

typedef enum pstk_phase {
    PSTK_PHASE_NORMAL = 0,
    PSTK_PHASE_RISING = 1, /* over the level, on-delay running */
    PSTK_PHASE_ACTIVE = 2,
    PSTK_PHASE_FALLING = 3, /* clear of the level, off-delay running */
} pstk_phase;

typedef struct pstk_limit {            /* what is active; stuck and freshness use level 0 alone */
    int64_t trip_ns[PSTK_LEVEL_COUNT]; /* crossing of the active excursion */
    pstk_value trip_value[PSTK_LEVEL_COUNT];
    uint16_t trip_flags[PSTK_LEVEL_COUNT]; /* PSTK_FLAG_* of the crossing */
    uint8_t phase[PSTK_LEVEL_COUNT];       /* pstk_phase */
    uint8_t folded;       /* bit per level: the excursion's trip was folded, so is its clear */
    uint8_t untold;       /* its trip was kept back: suppressed or shelved */
    uint8_t acknowledged; /* it re-alarms no more */
    uint8_t reserved;
} pstk_limit;

typedef struct pstk_limit_delay {       /* only for rules with a delay or a re-alarm */
    int64_t cross_ns[PSTK_LEVEL_COUNT]; /* where the running delay began */
    int64_t recv_ns[PSTK_LEVEL_COUNT];  /* engine time then: a silent tag is judged by it */
    pstk_value value[PSTK_LEVEL_COUNT];
    uint16_t flags[PSTK_LEVEL_COUNT];
    int64_t again_ns[PSTK_LEVEL_COUNT]; /* the next re-alarm, in event and in engine time */
    int64_t again_recv_ns[PSTK_LEVEL_COUNT];
    pstk_value newest;  /* newest good value */
    uint8_t has_newest; /* bit per level: it came behind the crossing */
    uint8_t reserved[7];
} pstk_limit_delay;

typedef struct pstk_limit_sample {
    double x;         /* the value as double */
    pstk_value value; /* the value as sent */
    int64_t time_ns;
    int64_t recv_ns;
    int64_t known_ns; /* the watermark where that says what is due, else 0 */
    uint16_t flags;   /* PSTK_FLAG_* its event bears */
    bool is_bad;
    bool is_silent; /* rate: nothing to compare with; only deadlines are taken */
} pstk_limit_sample;

typedef enum pstk_turn { PSTK_TURN_TRIP, PSTK_TURN_CLEAR, PSTK_TURN_REALARM } pstk_turn;

typedef struct pstk_limit_fact {
    uint8_t level;
    uint8_t turn; /* pstk_turn */
    uint16_t flags;
    int64_t at_ns; /* the crossing; of a re-alarm its due time */
    int64_t start_ns;
    int64_t end_ns;
    pstk_value value; /* of the crossing sample; of a re-alarm the newest */
} pstk_limit_fact;

#define PSTK_LIMIT_FACTS_MAX 24u
#define PSTK_REALARMS_MAX 4096 /* of one silence; of more the newest are told */

bool pstk_limit_has_delay(const pstk_rule *rule); /* or a re-alarm */
/* delay may be NULL where the rule has none. Facts in order of time within a level. *out_more: a
 * long silence holds more re-alarms than there is room for; the same call again goes on. */
size_t pstk_limit_step(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                       const pstk_limit_sample *sample, pstk_limit_fact *out_facts, bool *out_more);
/* Engine time passed to now_ns and the tag is silent: what was due at due_ns or before. What does
 * not fit is due still. */
size_t pstk_limit_tick(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                       int64_t due_ns, int64_t now_ns, pstk_limit_fact *out_facts);
/* Engine time at which a running delay of a silent tag ends or a re-alarm is due; INT64_MAX = none.
 */
int64_t pstk_limit_deadline(const pstk_rule *rule, const pstk_limit *limit,
                            const pstk_limit_delay *delay);
/* The same in event time: what the next sample would find due. */
int64_t pstk_limit_next(const pstk_rule *rule, const pstk_limit *limit,
                        const pstk_limit_delay *delay);
/* Running delays are forgotten, excursions stay. */
void pstk_limit_cancel_delays(pstk_limit *limit);
/* Narrows [low, high]: strictly between, no good sample can change this limit. A running delay, or
 * a re-alarm to come, makes it empty. */
void pstk_limit_quiet(const pstk_rule *rule, const pstk_limit *limit, double *low, double *high);
/* The crossing of an excursion begins or ends; each gives its one fact. */
size_t pstk_limit_trip(pstk_limit *limit, unsigned level, const pstk_limit_fact *crossing,
                       pstk_limit_fact *out_fact);
size_t pstk_limit_clear(pstk_limit *limit, unsigned level, const pstk_limit_fact *crossing,
                        pstk_limit_fact *out_fact);
/* A person ends every excursion; a running on-delay goes on. */
size_t pstk_limit_release(pstk_limit *limit, int64_t at_ns, pstk_limit_fact *out_facts);
static inline bool pstk_limit_is_active(const pstk_limit *limit, unsigned level) {
    return limit->phase[level] >= PSTK_PHASE_ACTIVE;
}

/* ---- rate: change over a span, then the machine of a limit ---------------------------------- */

#define PSTK_SPAN_NS_MIN 1000 /* below it no 32nd part is left */
#define PSTK_RATE_ANCHORS 40u /* they stand at least span / 32 apart */

typedef struct pstk_rate { /* readings to compare with, oldest first, in a ring */
    int64_t time_ns[PSTK_RATE_ANCHORS];
    pstk_value value[PSTK_RATE_ANCHORS];
    uint8_t first, count;
    uint8_t reference; /* places behind first */
    uint8_t reserved[5];
} pstk_rate;

typedef enum pstk_rate_word {
    PSTK_RATE_NONE,   /* nothing to compare with yet */
    PSTK_RATE_KNOWN,  /* *out_rate */
    PSTK_RATE_SILENCE /* what there is lies too far back: anchors start again */
} pstk_rate_word;

/* What a good sample says; later than every one before it. */
pstk_rate_word pstk_rate_of(const pstk_rule *rule, pstk_rate *rate, uint8_t type, int64_t time_ns,
                            pstk_value value, double *out_rate);
/* Behind pstk_rate_of: the sample may become an anchor. */
void pstk_rate_keep(const pstk_rule *rule, pstk_rate *rate, pstk_rate_word word, int64_t time_ns,
                    pstk_value value);
void pstk_rate_forget(pstk_rate *rate);

/* ---- stuck and freshness: one level --------------------------------------------------------- */

typedef struct pstk_stuck { /* the value that has not been left since */
    pstk_value value;
    int64_t since_ns;
    uint16_t flags;
    uint8_t has_value;
    uint8_t reserved[5];
} pstk_stuck;

/* At most one fact. */
size_t pstk_stuck_step(const pstk_rule *rule, pstk_stuck *stuck, pstk_limit *limit, uint8_t type,
                       const pstk_limit_sample *sample, pstk_limit_fact *out_fact);
/* But for an excursion, and what it is held against. */
void pstk_stuck_forget(pstk_stuck *stuck, const pstk_limit *limit);
/* Narrows [low, high] and *until_ns: strictly between and before it no good sample changes
 * anything. */
void pstk_stuck_quiet(const pstk_rule *rule, const pstk_stuck *stuck, const pstk_limit *limit,
                      uint8_t type, double *low, double *high, int64_t *until_ns);

typedef struct pstk_freshness { /* the newest good sample */
    pstk_value value;
    int64_t last_ns;
    int64_t recv_ns;
    uint16_t flags;
    uint8_t has_value;
    uint8_t is_back; /* the clock went back since: event times say nothing until the next one */
    uint8_t reserved[4];
} pstk_freshness;

/* At most two facts: it had fallen silent, and is back. */
size_t pstk_freshness_step(const pstk_rule *rule, pstk_freshness *fresh, pstk_limit *limit,
                           const pstk_limit_sample *sample, pstk_limit_fact *out_facts);
size_t pstk_freshness_tick(const pstk_rule *rule, const pstk_freshness *fresh, pstk_limit *limit,
                           int64_t now_ns, pstk_limit_fact *out_fact);
int64_t pstk_freshness_deadline(const pstk_rule *rule, const pstk_freshness *fresh,
                                const pstk_limit *limit);

/* ---- folding -------------------------------------------------------------------------------- */

typedef struct pstk_fold { /* events_per_minute_max: what one minute of event time has emitted and
                              folded */
    int64_t recv_ns;       /* engine time of the last folded trip */
    int32_t minute;        /* event time / 60 s */
    uint32_t emitted;
    uint32_t folded;
    uint32_t reserved;
} pstk_fold;

#define PSTK_MINUTE_NS (60 * PSTK_NS_PER_S)
void pstk_fold_init(pstk_fold *fold);
/* True where a folded count of an earlier minute must be told first: the caller emits it and calls
 * reset. */
bool pstk_fold_is_due(const pstk_fold *fold, int64_t time_ns);
int64_t pstk_fold_end_ns(const pstk_fold *fold); /* due from here on, while something is folded */
void pstk_fold_reset(pstk_fold *fold);
/* True: the fact becomes an event. False: it is folded. Marks the excursion, so that trip and clear
 * share one fate. */
bool pstk_fold_take(pstk_fold *fold, pstk_limit *limit, const pstk_limit_fact *fact,
                    uint32_t events_max, int64_t recv_ns);

/* ---- segments: counters and totals ---------------------------------------------------------- */

typedef struct pstk_quantity { /* exact for i64; (sum, carry) compensated for f64 */
    int64_t exact;
    double sum;
    double carry;
} pstk_quantity;

typedef struct pstk_counter {
    pstk_value start; /* register where the segment starts */
    pstk_value last;  /* newest reading */
    int64_t start_ns;
    int64_t last_ns;
    pstk_quantity quantity; /* since start */
    uint64_t count;
    uint32_t flags; /* PSTK_FLAG_* of the open segment */
    uint8_t type;   /* F64 or I64 */
    uint8_t is_open;
    uint8_t is_unstarted; /* closed by a clock regress: start_ns is the next instant's */
    uint8_t is_first;     /* no cut yet: a start reading learnt late still extends it */
} pstk_counter;

typedef struct pstk_counter_input { /* one instant */
    int64_t time_ns;
    int64_t boundary_ns; /* size_ns cut due at or before time_ns; PSTK_TIME_NONE = none */
    pstk_value reading;
    pstk_value start;    /* the register where the present lot began */
    pstk_value baseline; /* where the last document ended */
    int64_t baseline_ns;
    uint8_t type;
    bool has_reading;
    bool has_start;            /* a start reading is known */
    bool is_start_new;         /* and was given in this instant */
    bool is_start_usable;      /* and belongs to the cut of this instant */
    bool is_cut;               /* lot, order or context changed */
    bool is_adopted;           /* the lot became known for the first time: no change */
    bool is_first_at_boundary; /* so where an interval ends: its end is the lot's start reading */
    bool has_baseline;
    bool has_gap;   /* samples are missing since the last reading */
    bool has_lots;  /* the rule names lots or orders */
    uint32_t flags; /* more flags: uncertain, cut_late */
} pstk_counter_input;

typedef struct pstk_segment_fact {
    int64_t start_ns, end_ns;
    pstk_value start, end;
    pstk_value quantity;
    uint64_t count;
    uint32_t flags;
    uint8_t type;
    uint8_t is_baseline; /* the stretch between the last document and the present lot */
} pstk_segment_fact;

#define PSTK_SEGMENT_FACTS_MAX 4u

size_t pstk_counter_step(const pstk_rule *rule, pstk_counter *counter,
                         const pstk_counter_input *input, pstk_segment_fact *out_facts);
/* A reading no less than the last, in an open segment, with nothing else to say: what the step
 * would make of it. False: it needs the step, and nothing has happened. */
bool pstk_counter_goes_on(pstk_counter *counter, uint8_t type, pstk_value reading, int64_t time_ns);
/* The clock went back, or the rule turns to another register: what is counted closes at the last
 * reading, flagged so, and the register carries on. */
size_t pstk_counter_finish(pstk_counter *counter, uint32_t flags, pstk_segment_fact *out_facts);

typedef struct pstk_total {
    double rate; /* held from last_ns on */
    int64_t start_ns;
    int64_t last_ns;
    pstk_quantity quantity;
    uint64_t count;
    uint32_t flags;
    uint8_t is_open;
    uint8_t has_rate;
    uint8_t is_unstarted;
    uint8_t reserved;
} pstk_total;

typedef struct pstk_total_input { /* one instant */
    int64_t time_ns;
    int64_t boundary_ns;
    double rate;
    bool has_rate;
    bool is_bad; /* the flow is not known from here on */
    bool is_cut;
    bool has_gap;
    uint32_t flags;
} pstk_total_input;

size_t pstk_total_step(const pstk_rule *rule, pstk_total *total, const pstk_total_input *input,
                       pstk_segment_fact *out_facts);
bool pstk_total_goes_on(const pstk_rule *rule, pstk_total *total, uint8_t type, pstk_value rate,
                        int64_t time_ns); /* as pstk_counter_goes_on */
size_t pstk_total_finish(pstk_total *total, uint32_t flags, pstk_segment_fact *out_facts);

/* ---- states --------------------------------------------------------------------------------- */

typedef struct pstk_state_run { /* the state that holds now */
    int64_t code;
    int64_t since_ns;
    int64_t last_ns; /* newest instant that showed it */
    uint64_t count;
    uint32_t flags;
    uint8_t is_open;
    uint8_t is_exact;  /* since_ns is the machine's own */
    uint8_t is_listed; /* makes an event when it ends */
    uint8_t reserved;
} pstk_state_run;

typedef struct pstk_state_input {
    int64_t time_ns;
    int64_t code;
    int64_t since_ns;
    bool has_since; /* the machine gave it in this instant */
    bool is_listed;
    bool has_gap;
    uint32_t flags;
} pstk_state_input;

typedef struct pstk_state_fact {
    int64_t code;
    int64_t start_ns, end_ns;
    uint64_t count;
    uint32_t flags;
    uint8_t is_enter; /* it begins: no end yet */
    uint8_t is_micro;
    uint8_t reserved[2];
} pstk_state_fact;

#define PSTK_STATE_FACTS_MAX 2u /* one ends, one begins */

size_t pstk_state_step(const pstk_rule *rule, pstk_state_run *run, const pstk_state_input *input,
                       pstk_state_fact *out_facts);
/* The state that holds, seen again: as pstk_counter_goes_on. */
bool pstk_state_goes_on(pstk_state_run *run, uint8_t type, pstk_value code, int64_t time_ns);
/* At most one fact. */
size_t pstk_state_finish(const pstk_rule *rule, pstk_state_run *run, uint32_t flags,
                         pstk_state_fact *out_fact);

typedef struct pstk_micro_fold { /* micro-stops of one interval, told together */
    int64_t start_ns, end_ns;    /* the interval */
    int64_t told_ns;             /* what ends before has been told; INT64_MIN = nothing */
    int64_t total_ns;            /* time in them */
    uint64_t count;              /* 0 = nothing waits */
    uint32_t flags;
    uint32_t reserved;
} pstk_micro_fold;

void pstk_micro_init(pstk_micro_fold *fold);
/* One micro-stop, seen at time_ns; true: an interval before it has to be told first, and the fold
 * is as it was. */
bool pstk_micro_add(const pstk_rule *rule, pstk_micro_fold *fold, const pstk_state_fact *stop,
                    int64_t time_ns);
/* What waits, as a fact: code is the time in them. */
void pstk_micro_take(pstk_micro_fold *fold, pstk_state_fact *out_fact);

#endif
