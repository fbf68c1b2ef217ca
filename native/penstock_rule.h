/* penstock_rule.h: what a rule or window is told; part of penstock.h, which includes it. */
#ifndef PENSTOCK_RULE_H
#define PENSTOCK_RULE_H

typedef enum pstk_rule_kind {
    PSTK_RULE_LIMIT = 1,
    PSTK_RULE_COUNTER = 2,
    PSTK_RULE_TOTAL = 3,
    PSTK_RULE_STATE = 4,
    PSTK_RULE_WINDOW = 5,
    PSTK_RULE_RATE = 6,      /* change over a span */
    PSTK_RULE_STUCK = 7,     /* a value that does not move */
    PSTK_RULE_FRESHNESS = 8, /* a tag that fell silent */
    PSTK_RULE_GAP = 9,       /* samples of a numbered stream were lost */
} pstk_rule_kind;

/* The tags a rule reads. Patterns may hold one '*'; what it matches in VALUE names the instance and
 * replaces '*' in the others. */
typedef enum pstk_role {
    PSTK_ROLE_VALUE = 0, /* what is judged: value, register, flow or state */
    PSTK_ROLE_LOT = 1,   /* counter, total: a change cuts */
    PSTK_ROLE_ORDER = 2, /* names the order; a change cuts counter and total */
    PSTK_ROLE_START = 3, /* counter: the register where the present lot began */
    PSTK_ROLE_SINCE = 4, /* state: since when it holds, UTC, in units of since_unit_ns */
    PSTK_ROLE_COUNT = 5,
} pstk_role;

typedef enum pstk_level {
    PSTK_LEVEL_HH = 0,
    PSTK_LEVEL_H,
    PSTK_LEVEL_L,
    PSTK_LEVEL_LL,
    PSTK_LEVEL_COUNT
} pstk_level;
typedef enum pstk_order {
    PSTK_ORDER_DEFAULT = 0,
    PSTK_ORDER_ARRIVAL = 1,
    PSTK_ORDER_EVENT = 2
} pstk_order;
typedef enum pstk_quality { /* limit, rate, stuck: what a sample of bad quality means */
                            PSTK_QUALITY_HOLD = 0,     /* nothing; running delays go on */
                            PSTK_QUALITY_TRIP = 1,     /* limit: beyond every level */
                            PSTK_QUALITY_SUPPRESS = 2, /* running delays are cancelled; stuck
                                                          forgets what it compares with */
} pstk_quality;
typedef enum pstk_output { PSTK_EMIT_EVENT = 0, PSTK_EMIT_RESULT = 1 } pstk_output;

/* counter: what a reading below the last one means where it is no rollover. */
typedef enum pstk_negative {
    PSTK_NEGATIVE_RESET = 0,    /* the register was reset: only the new reading counts */
    PSTK_NEGATIVE_SUBTRACT = 1, /* a correction: the quantity becomes less, flagged CORRECTED */
    PSTK_NEGATIVE_IGNORE = 2,   /* passed over until readings reach the last one again */
} pstk_negative;

typedef enum pstk_state_on { /* state: what makes an event */
                             PSTK_ON_END = 0,
                             PSTK_ON_ENTER = 1,
                             PSTK_ON_BOTH = 2,
} pstk_state_on;

typedef enum pstk_micro { /* state: what becomes of a listed state shorter than min_duration_ns */
                          PSTK_MICRO_FLAG = 0, /* its event is flagged MICRO */
                          PSTK_MICRO_DROP = 1, /* no event, counted micro_dropped */
                          PSTK_MICRO_FOLD = 2, /* one STATE_MICRO each micro_every_ns */
} pstk_micro;

#define PSTK_CUT_LOT_TAG 1u   /* a change of the LOT tag cuts */
#define PSTK_CUT_ORDER_TAG 2u /* a change of the ORDER tag cuts */
#define PSTK_CUT_CONTEXT_ORDER 4u
#define PSTK_CUT_CONTEXT_LOT 8u

enum {
#define PSTK_AGGREGATE_ENUM(name, bit, text, help) PSTK_AGGREGATE_##name = 1 << bit,
    PSTK_AGGREGATE_LIST(PSTK_AGGREGATE_ENUM)
#undef PSTK_AGGREGATE_ENUM
};

typedef struct pstk_limit_level {
    uint8_t is_set;
    uint8_t reserved[7];
    double value;    /* trip at value >= high (H, HH) or value <= low (L, LL) */
    double deadband; /* clear at value < high - deadband, or value > low + deadband */
    int64_t on_delay_ns;
    int64_t off_delay_ns;
    int64_t re_alarm_ns; /* while active, again each so long behind the trip; 0 = never */
} pstk_limit_level;

typedef struct pstk_rule { /* pointer-free: its bytes are its meaning, and lie in each checkpoint */
    char name[PSTK_RULE_NAME_BYTES];
    char series[16]; /* default "1"; a person changes it to start a new series of ids */
    char unit[16];   /* UN/ECE Rec 20 code of the quantity; required for counter and total */
    char pattern[PSTK_ROLE_COUNT][PSTK_NAME_BYTES]; /* "" = role not used */
    char asset[PSTK_NAME_BYTES];    /* whose context events carry; '*' as above; "" = the match */
    uint16_t kind;                  /* pstk_rule_kind */
    uint16_t order;                 /* pstk_order */
    uint8_t emit;                   /* pstk_output; windows default to RESULT */
    uint8_t cut_on;                 /* PSTK_CUT_* */
    uint8_t emits_zero;             /* counter, total: an event also where the quantity is 0 */
    uint8_t quality;                /* pstk_quality */
    uint32_t events_per_minute_max; /* limit, rate, stuck, freshness: beyond it one chattering event
                                       stands for the rest; 0 = default 60 */
    pstk_limit_level level[PSTK_LEVEL_COUNT];
    double rollover;   /* counter: first value that never appears (10000 for 0..9999); 0 = none */
    int64_t size_ns;   /* window length; counter, total: also cut each size_ns; 0 = never */
    int64_t offset_ns; /* window alignment: start = offset + k * size */
    int64_t since_unit_ns;   /* state: 1 or 1000000 */
    int64_t rate_unit_ns;    /* total, rate: per this much time (3600e9 for m3/h) */
    int64_t min_duration_ns; /* state: shorter ones are micro-stops */
    int64_t micro_every_ns;  /* state, MICRO_FOLD: k * this; 0 = an hour */
    int64_t span_ns;         /* rate: change over so long */
    int64_t after_ns;        /* stuck: unmoved for so long; freshness: silent for so long */
    double band;             /* stuck: a move is more than this */
    int64_t hop_ns;          /* window: one begins each hop_ns; 0 = each size_ns */
    int64_t session_gap_ns, session_max_ns; /* window: ends by silence, or so long; 0 = an hour */
    int64_t expected_ns, correct_ns; /* window: of COMPLETENESS; late samples correct it so long */
    uint32_t count_n, aggregates;    /* window: ends with every n-th sample; PSTK_AGGREGATE_* */
    char source[64];                 /* gap: whose streams; it has no tags */
    uint64_t lost_min;               /* gap: fewer make no event; 0 = 1 */
    /* limit, rate, stuck, freshness: trips are kept back while this tag ('*' as above) is in one of
     * the states below, or while another of these rules is active at the same capture */
    char suppress_tag[PSTK_NAME_BYTES];
    char suppress_by[PSTK_RULE_NAME_BYTES];
    uint32_t state_count;
    uint8_t is_any_state;                 /* state: every state is listed */
    uint8_t state_on;                     /* pstk_state_on */
    uint8_t micro;                        /* pstk_micro */
    uint8_t negative;                     /* counter: pstk_negative */
    int64_t state_code[PSTK_STATES_MAX];  /* states that make an event when they end (i64 tags);
                                             window: those of SHARE */
    char state_text[PSTK_STATES_MAX][32]; /* the same for code tags; "" = use state_code */
} pstk_rule;

#endif
