/* penstock_event.h: what comes out: events, and results of windows; part of penstock.h, which
 * includes it. */
#ifndef PENSTOCK_EVENT_H
#define PENSTOCK_EVENT_H

typedef enum pstk_event_kind {
#define PSTK_EVENT_ENUM(name, text) PSTK_EVENT_##name,
    PSTK_EVENT_KIND_LIST(PSTK_EVENT_ENUM)
#undef PSTK_EVENT_ENUM
        PSTK_EVENT_KIND_COUNT
} pstk_event_kind;

enum {
#define PSTK_FLAG_ENUM(name, bit, text, help) PSTK_FLAG_##name = 1 << bit,
    PSTK_FLAG_LIST(PSTK_FLAG_ENUM)
#undef PSTK_FLAG_ENUM
};

typedef struct pstk_context_values { /* zero-terminated UTF-8; "" = not known */
    char order[PSTK_CONTEXT_BYTES];
    char operation[16];
    char material[PSTK_CONTEXT_BYTES];
    char lot[PSTK_CONTEXT_BYTES];
    char shift[16];
} pstk_context_values;

typedef struct pstk_event_figures { /* window: what its rule asks for; not asked = NaN */
    uint32_t asked;                 /* PSTK_AGGREGATE_* */
    uint32_t reserved;
    double variance, tw_mean, integral, rate, share, completeness, quality_share;
} pstk_event_figures;

typedef struct pstk_event { /* 384 bytes */
    uint8_t id[16];         /* UUIDv8, see design.md section 6 */
    uint8_t digest[16];     /* SHA-256/128 of everything below but seq, pos and engine_time_ns */
    uint64_t seq;           /* order of this run; never used to recognise a repeat */
    uint64_t pos;           /* journal position of the block that made it */
    int64_t engine_time_ns; /* T when it was judged */
    int64_t at_ns;          /* event time in its identity: crossing or start of the interval */
    int64_t start_ns;
    int64_t end_ns;   /* PSTK_TIME_NONE while open (a limit trip) */
    pstk_value value; /* limit, stuck, freshness: the sample; rate: the rate; counter, total: the
                         quantity; state: the code; window: the mean; gap: the stream's number */
    pstk_value start_reading; /* counter: register at start and end; window: i64, time of the least
                                 and the greatest value where asked */
    pstk_value end_reading;
    double limit;                      /* limit, rate: the level's value */
    double sum, min, max, first, last; /* window */
    uint64_t count; /* samples in it; chattering: crossings folded; gap: samples lost */
    uint32_t rule;  /* index of a rule name, stable for the life of the state directory */
    uint32_t tag;
    uint32_t asset; /* index into the engine's asset names */
    uint32_t occurrence;
    uint32_t time_epoch;
    uint32_t revision;
    uint32_t flags;     /* PSTK_FLAG_* */
    uint16_t kind;      /* pstk_event_kind */
    uint8_t value_type; /* pstk_type of value and readings */
    uint8_t config_gen_low;
    pstk_context_values context;
    pstk_event_figures figures;
} pstk_event;

typedef struct pstk_result { /* 96 bytes: one closed window of one tag */
    int64_t start_ns, end_ns;
    uint64_t count;
    double sum, mean, min, max, first, last;
    uint32_t rule, tag, flags;
    uint32_t revision; /* 1: a correction by late samples */
    uint64_t more;     /* place of its pstk_aggregates + 1; 0 = its rule asks for none */
} pstk_result;

typedef struct pstk_aggregates { /* 80 bytes: beside a result; not asked = NaN, a time TIME_NONE */
    int64_t min_ns, max_ns;
    double range, variance, tw_mean, integral, rate, share, completeness, quality_share;
} pstk_aggregates;

#endif
