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

typedef struct judge_limit { /* of an alarm: limit, rate, stuck, freshness */
    uint32_t link;
    uint32_t instance;
    uint32_t tag;
    uint32_t delay; /* judge_delay, or 0 */
    pstk_limit limit;
    pstk_fold fold;
    uint32_t heap_pos; /* derived: place among the deadlines + 1 */
    uint32_t track;    /* judge_rate or judge_watch, or 0 */
} judge_limit;

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

/* ---- engine_judge_limit.c: deadlines of alarms, the quiet range ----------------------------- */

void judge_limit_schedule(pstk_judge *judge, uint32_t limit);
void judge_limit_unschedule(pstk_judge *judge, uint32_t limit);
void judge_quiet_refresh(pstk_judge *judge, uint32_t tag); /* and judge_until_refresh */
void judge_deadlines_rebuild(pstk_judge *judge);

#endif
