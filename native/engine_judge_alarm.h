/* judge alarm: what the judge keeps of limits, rates, stuck and silent tags. Private to
 * engine_judge*.c; a part of engine_judge_state.h, which says how items lie. */
#ifndef PSTK_ENGINE_JUDGE_ALARM_H
#define PSTK_ENGINE_JUDGE_ALARM_H

#include "engine_judge.h"
#include "rule/rule.h"

/* Alarms share levels, folding and deadlines. */
static inline bool judge_is_alarm(uint32_t kind) {
    return kind == PSTK_RULE_LIMIT || kind == PSTK_RULE_RATE || kind == PSTK_RULE_STUCK ||
           kind == PSTK_RULE_FRESHNESS;
}
/* Their instance is their tag. */
static inline bool judge_is_by_tag(uint32_t kind) {
    return judge_is_alarm(kind) || kind == PSTK_RULE_WINDOW;
}

/* What '*' matched names it. */
static inline bool judge_is_group(uint32_t kind) {
    return kind == PSTK_RULE_COUNTER || kind == PSTK_RULE_TOTAL || kind == PSTK_RULE_STATE;
}

static inline uint16_t judge_quality_flags(uint16_t quality) {
    uint16_t top = quality & 0xC000u;
    if (top == 0x8000u)
        return PSTK_FLAG_BAD_QUALITY;
    return top == 0x4000u ? (uint16_t)PSTK_FLAG_REPLACED_QUALITY : (uint16_t)0;
}

typedef struct judge_limit { /* of an alarm: limit, rate, stuck, freshness */
    uint32_t link;
    uint32_t instance;
    uint32_t tag;
    uint32_t delay; /* judge_delay, or 0 */
    pstk_limit limit;
    pstk_fold fold;
    uint32_t heap_pos;   /* derived: place among the deadlines + 1 */
    uint32_t track;      /* judge_rate or judge_watch, or 0 */
    int64_t wake_ns;     /* event order: a node waits in the heap; PSTK_TIME_NONE = none */
    uint32_t shelf;      /* judge_shelf, or 0 */
    uint8_t suppressed;  /* JUDGE_SUPPRESSED_*: trips are kept back */
    uint8_t is_blocking; /* active, and others have heard of it */
    uint8_t reserved[2];
} judge_limit;

enum { JUDGE_SUPPRESSED_WHEN = 1, JUDGE_SUPPRESSED_BY = 2 };
#define JUDGE_BIND_SUPPRESS 7u /* role of a bind: the tag says a state */

typedef struct judge_suppression { /* derived */
    bool is_asked;                 /* by a rule of the live table */
    uint16_t *suppressor_of;       /* by slot: slot + 1 of the rule that suppresses it */
    uint8_t *is_suppressor;        /* by slot */
    uint32_t *latch_of;            /* by tag: judge_latch, or 0 */
} judge_suppression;

typedef struct judge_latch { /* newest good value of a tag that says a state, or a window's lot */
    uint32_t link;
    uint32_t tag;
    pstk_value arrival; /* in journal order */
    pstk_value event;   /* by instants */
    uint8_t has_arrival, has_event;
    uint8_t reserved[6];
} judge_latch;

enum { /* who has told an event of an instance with a stamp before */
       JUDGE_TOLD_TRIP = 0,
       JUDGE_TOLD_CLEAR = PSTK_LEVEL_COUNT,
       JUDGE_TOLD_ACKNOWLEDGED = 2 * PSTK_LEVEL_COUNT,
       JUDGE_TOLD_SHELVED,
       JUDGE_TOLD_UNSHELVED,
       JUDGE_TOLD_RESET, /* clears by a person, a level each: others may lie between two of one T */
       JUDGE_TOLD_COUNT = JUDGE_TOLD_RESET + PSTK_LEVEL_COUNT
};

typedef struct judge_told {
    int64_t at_ns;
    uint32_t epoch;
    uint32_t count;
} judge_told;

typedef struct judge_shelf { /* of an alarm that a person has had to do with */
    uint32_t link;
    uint32_t is_shelved;
    int64_t from_ns, until_ns;
    judge_told told[JUDGE_TOLD_COUNT]; /* tells equal stamps apart: a person can repeat them */
} judge_shelf;

typedef struct judge_rate {
    uint32_t link;
    uint32_t reserved;
    pstk_rate rate;
} judge_rate;

typedef struct judge_watch {
    uint32_t link;
    uint32_t reserved;
    union {
        pstk_stuck stuck;
        pstk_freshness fresh;
    } u;
} judge_watch;

typedef struct judge_delay { /* alarms with delays or re-alarms, or of event order */
    uint32_t link;
    uint32_t is_set; /* event order: sample waits for its instant */
    pstk_limit_delay delay;
    pstk_limit_sample sample;
    int64_t last_ns; /* event order: newest judged */
} judge_delay;

/* ---- engine_judge_alarm.c: limits, rates, stuck and silent tags ----------------------------- */

/* The instance's state; made where it has none. 0: full. */
uint32_t judge_limit_open(pstk_judge *judge, uint32_t instance);
/* Also what its rule keeps beside the levels; false: full. */
bool judge_limit_prepare(pstk_judge *judge, uint32_t instance);
void judge_limit_strip(pstk_judge *judge, uint32_t limit); /* gives that back */
/* False: there is more to tell; come again with the same sample once there is room. */
bool judge_limit_sample(pstk_judge *judge, uint32_t limit, const pstk_limit_sample *sample);
void judge_limit_tick(pstk_judge *judge, uint32_t limit);
void judge_limit_reset(pstk_judge *judge, uint32_t limit);
void judge_limit_regress(pstk_judge *judge, uint32_t limit);
void judge_limit_shift(pstk_judge *judge, int64_t by_ns);  /* all; see judge_time_shift */
void judge_limit_flush(pstk_judge *judge, uint32_t limit); /* tells what is folded */
int64_t judge_limit_deadline(const pstk_judge *judge, uint32_t limit);
/* Event order: what falls due up to a time, of which all samples before are known. */
bool judge_limit_pass(pstk_judge *judge, uint32_t limit, int64_t until_ns);
void judge_limit_wake(pstk_judge *judge, uint32_t limit); /* for the next that falls due */
void judge_limit_unwake(pstk_judge *judge, uint32_t limit);
/* Is told of trips that were kept back, where nothing keeps them back any more. */
void judge_limit_tell(pstk_judge *judge, uint32_t limit);
bool judge_limit_is_hushed(const pstk_judge *judge, uint32_t limit);
/* Begins an event of what one level said; by: who, or NULL. Kept back or folded: nothing. */
void judge_limit_emit(pstk_judge *judge, uint32_t limit, const pstk_limit_fact *fact,
                      const char *by);

/* ---- engine_judge_suppress.c: what keeps trips back ------------------------------------------ */

bool judge_bind_append(pstk_judge *judge, uint32_t tag, uint32_t instance, uint32_t role);
void judge_suppressors_rebuild(pstk_judge *judge);
void judge_latches_rebuild(pstk_judge *judge);
void judge_latches_forget(pstk_judge *judge); /* of tags that the rules until now do not hear */
/* What the tag says is kept from here on. */
void judge_latch_open(pstk_judge *judge, uint32_t tag);
void judge_suppress_bind(pstk_judge *judge, uint32_t tag);
/* A sample of a tag that says a state; event: by instants. */
void judge_suppress_state(pstk_judge *judge, uint32_t tag, pstk_value value, uint16_t quality,
                          bool is_event);
void judge_suppress_follow(pstk_judge *judge, uint32_t limit); /* it may have begun or ended */
void judge_alarm_touch(pstk_judge *judge, uint32_t instance);

/* ---- engine_judge_operator.c: what persons do ----------------------------------------------- */

void judge_operate(pstk_judge *judge, const pstk_operation *operation);
void judge_unshelve(pstk_judge *judge, uint32_t limit, int64_t at_ns, const char *by);
void judge_shelf_forget(pstk_judge *judge, uint32_t shelf); /* trips and clears that were told */
void judge_alarm_count(pstk_judge *judge, uint32_t limit, uint32_t told, pstk_event *event);
void judge_event_set_by(pstk_event *event, const char *by);

/* ---- engine_judge_limit.c: deadlines of alarms, the quiet range ----------------------------- */

void judge_limit_schedule(pstk_judge *judge, uint32_t limit);
void judge_limit_unschedule(pstk_judge *judge, uint32_t limit);
bool judge_limit_is_calm(const pstk_judge *judge, uint32_t limit, const pstk_limit_sample *sample);
void judge_quiet_refresh(pstk_judge *judge, uint32_t tag); /* and judge_until_refresh */
void judge_deadlines_rebuild(pstk_judge *judge);

#endif
