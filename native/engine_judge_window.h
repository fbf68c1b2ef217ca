/* judge window: plain windows; rules that changed while windows were open; and wide windows, those
 * that hop, follow sessions or counts, are cut or corrected, or tell more than their plain figures.
 * Private to engine_judge*.c. Layout   as the other arenas: no pointer, derived words are made
 * again by restore. Order    those that need it take their samples from the reorder heap; the
 * others as they arrive. What is due by time lies in a heap of its clock. Bound    as many as
 * instances; panes in a pool of their own. */
#ifndef PSTK_ENGINE_JUDGE_WINDOW_H
#define PSTK_ENGINE_JUDGE_WINDOW_H

#include "engine_judge.h"
#include "window/window.h"

#define JUDGE_TICK_SWEEP                                                                           \
    8192u /* windows one TICK looks at; what is left waits for the next block */
#define JUDGE_SWEEP_AGAIN_NS 1000000

enum { /* judge_window.flags, judge_pane.flags */
       JUDGE_PANE_OPEN = 1,
       JUDGE_PANE_UNCERTAIN = 2,
       JUDGE_PANE_BAD = 4,
       JUDGE_WINDOW_SEEN = 8, /* a pane has closed: the next one is not the first */
};

typedef struct judge_window { /* 128 bytes: the pane in use lies in place, others in the pool */
    pstk_pane pane;
    int64_t end_ns;    /* kept after the close: the next one starts here, as a rule */
    int64_t closed_ns; /* end of the newest closed pane, of any table: what is older is late */
    uint32_t link;     /* free list; next window of the tag (derived) */
    uint32_t instance;
    uint32_t tag;
    uint32_t others;     /* judge_pane */
    uint32_t clock_next; /* derived: next window of the clock */
    uint8_t flags;
    uint8_t panes;      /* open ones */
    uint16_t rule;      /* the instance's: its line is seldom near */
    int64_t restart_ns; /* the rule changed here: what comes after begins no earlier */
} judge_window;
_Static_assert(sizeof(judge_window) == 128, "two cache lines");

typedef struct judge_pane {
    uint32_t link;
    uint32_t flags;
    int64_t end_ns;
    pstk_pane pane;
} judge_pane;

enum {                         /* judge_wide.flags */
       JUDGE_WIDE_SEEN = 1,    /* one has been told: the next is not the first */
       JUDGE_WIDE_HELD = 2,    /* a value holds: held */
       JUDGE_WIDE_LISTED = 4,  /* and it is one of the rule's states */
       JUDGE_WIDE_RESTING = 8, /* too many empty ones in a row: nothing is told until a sample */
       JUDGE_WIDE_LOST = 16,   /* no pane was free: the next one told lacks samples */
};

enum {                          /* judge_wide_pane.flags, beside JUDGE_PANE_UNCERTAIN and _BAD */
       JUDGE_PANE_TOLD = 16,    /* kept for corrections */
       JUDGE_PANE_CHANGED = 32, /* since it was told */
       JUDGE_PANE_KNOWN = 64,   /* a value held from its start on */
};

/* A window rule that has changed, for windows that were open then: judge_window.rule is its place
 * here + PSTK_RULES_MAX. Until restart_ns they go by it, from there on by the instance's rule. */
typedef struct judge_old_rule {
    uint32_t link;
    uint32_t users; /* windows */
    pstk_rule rule;
} judge_old_rule;
_Static_assert(2 * PSTK_RULES_MAX < UINT16_MAX, "fits a window");

typedef struct judge_cut_role {
    pstk_value value;
    uint32_t tag;  /* + 1; 0 = not known */
    uint32_t type; /* 0 = no value yet */
} judge_cut_role;

typedef struct judge_wide {
    uint32_t link; /* free list */
    uint32_t instance;
    uint32_t tag;
    uint32_t first, last, at;   /* judge_wide_pane: by time; the one used last */
    uint32_t child, next, prev; /* derived: heap of the clock */
    uint16_t panes;
    uint8_t flags;
    uint8_t empties;    /* told one after another without a sample */
    uint32_t clock;     /* derived: whose heap it lies in; 0 = none */
    int64_t due_ns;     /* nothing happens by time alone before; INT64_MAX = never */
    int64_t next_ns;    /* end of the window told next; INT64_MAX = none */
    int64_t floor_ns;   /* none starts earlier: a cut, a changed rule */
    int64_t partial_ns; /* those that start no later began before they were seen */
    int64_t held_ns;    /* what holds is reckoned up to here */
    int64_t newest_ns;  /* of its samples */
    int64_t over_ns;    /* end of what was open when it was told as it stood */
    double held;
    judge_cut_role lot, order; /* what its tags say */
    char context_order[PSTK_CONTEXT_BYTES], context_lot[PSTK_CONTEXT_BYTES];
    uint32_t has_context; /* as of when it began */
    uint32_t is_bound;    /* derived: a bit a role */
} judge_wide;

typedef struct judge_wide_pane {
    uint32_t link; /* free list; the next one in time */
    uint32_t flags;
    pstk_figures figures;
} judge_wide_pane;

/* ---- engine_judge_window.c ------------------------------------------------------------------ */

/* One sample; closes what is ready first. False: late. */
bool judge_window_add(pstk_judge *judge, uint32_t window, int64_t time_ns, double x,
                      uint16_t quality);
static inline bool judge_window_is_leaving(const judge_window *at) {
    return at->rule > PSTK_RULES_MAX;
}
void judge_window_close_all(pstk_judge *judge, uint32_t window, uint32_t flags);
bool judge_sweep(pstk_judge *judge, uint32_t clock, uint32_t *budget); /* resumable */
bool judge_sweep_all(pstk_judge *judge, uint32_t budget); /* resumable; UINT32_MAX = to the end */
void judge_windows_rebuild(pstk_judge *judge);
void judge_window_list(pstk_judge *judge, uint32_t window);
void judge_until_refresh(pstk_judge *judge, uint32_t tag); /* what the fast path may take */
/* The last end is a boundary of its rule's alignment: see start_of. */
void judge_window_align(pstk_judge *judge, uint32_t window);
/* Its rule has changed: what is open goes on by the old one, until it has ended. */
void judge_window_retire(pstk_judge *judge, uint32_t window);
/* The old rule is let go; the live one holds from here on. */
void judge_window_settle(pstk_judge *judge, uint32_t window);
/* Its rule is gone: nothing that may still come lies in what it told as it stood. */
bool judge_window_is_over(const pstk_judge *judge, uint32_t window);
/* ---- engine_judge_window_wide.c -------------------------------------------------------------- */

struct judge_node;
struct judge_hot;
uint32_t judge_wide_open(pstk_judge *judge, uint32_t instance, uint32_t tag); /* 0: full */
void judge_wide_drop(pstk_judge *judge, uint32_t wide);
/* One sample; closes what is ready first. False: come again, the event ring is full. */
bool judge_wide_take(pstk_judge *judge, uint32_t wide, const struct judge_node *sample,
                     bool *out_is_late);
/* What is open at that moment ends there, and goes on in new windows. False: come again. */
bool judge_wide_cut(pstk_judge *judge, uint32_t wide, int64_t at_ns, uint32_t flags);
/* What time alone brings until then. False: come again. */
bool judge_wide_advance(pstk_judge *judge, uint32_t wide, int64_t until_ns);
/* is_sample: a good sample of until_ns follows, and ends a session that has lasted long enough. */
bool judge_wide_reach(pstk_judge *judge, uint32_t wide, int64_t until_ns, bool is_sample);
void judge_wide_plan(pstk_judge *judge, uint32_t wide); /* when something is due by time */
/* Tells everything as it stands. False: come again. */
bool judge_wide_close_all(pstk_judge *judge, uint32_t wide, uint32_t flags);
bool judge_wide_is_over(const pstk_judge *judge, uint32_t wide); /* as judge_window_is_over */
/* ---- engine_judge_window_place.c ------------------------------------------------------------- */

/* True where the sample goes to the pane used last, and that is all it does. */
bool judge_wide_take_in_place(pstk_judge *judge, uint32_t wide, const struct judge_node *sample,
                              int64_t watermark_ns);
/* The same of a window in order of time; one that is not is never taken. */
bool judge_wide_take_in_order(pstk_judge *judge, uint32_t wide, const struct judge_node *sample);
void judge_wide_enter(judge_wide_pane *pane, const struct judge_node *sample, double x);
void judge_wide_hold_from(const pstk_judge *judge, judge_wide *at, const pstk_rule *rule,
                          const struct judge_node *sample, double x);
double judge_wide_number(const pstk_judge *judge, const struct judge_node *sample);
/* A good sample, later than every one before it, in the pane that each of the tag's windows filled
 * last: what the fast path may do where judge_wide_until says so. */
void judge_wide_add_newest(const pstk_judge *judge, const struct judge_hot *hot, int64_t time_ns,
                           double x);
/* Until when it may; INT64_MIN: not now. */
int64_t judge_wide_until(const pstk_judge *judge, const struct judge_hot *hot);
/* ---- engine_judge_window_held.c -------------------------------------------------------------- */

/* Keeps a sample that the heap let out for the windows that hear its tag; false: none does. */
bool judge_wide_hold(pstk_judge *judge, uint32_t node);
/* Of an instant the last one holds, and all that came with it are heard. */
pstk_value judge_wide_told_last(const pstk_judge *judge, const judge_node *sample);
/* What is kept goes to them. False: come again. */
bool judge_wide_run_held(pstk_judge *judge);

/* ---- engine_judge_window_cut.c --------------------------------------------------------------- */

/* A lot or order tag said something, or a node of wake has come. False: come again. */
bool judge_wide_cut_by(pstk_judge *judge, uint32_t wide, uint32_t role,
                       const struct judge_node *sample);
bool judge_wide_cut_woken(pstk_judge *judge, const struct judge_node *node);
/* The context of an instance changes there, or a later one is known already. */
void judge_wide_wake(pstk_judge *judge, uint32_t instance, int64_t at_ns);
void judge_wide_wake_known(pstk_judge *judge, uint32_t instance);
void judge_wide_begin(pstk_judge *judge, uint32_t wide, int64_t time_ns); /* its first sample */
void judge_wide_roles(const pstk_judge *judge, const judge_wide *at, pstk_event *event);
/* The tag names the lot or order of windows, of which there may be none yet. */
void judge_wide_hear(pstk_judge *judge, uint32_t tag);
judge_cut_role judge_wide_role_of(const pstk_judge *judge, uint32_t tag); /* as it said last */

/* ---- engine_judge_window_due.c --------------------------------------------------------------- */

void judge_wide_schedule(pstk_judge *judge, uint32_t wide);
void judge_wide_unschedule(pstk_judge *judge, uint32_t wide);
/* What is due by the clock's watermark. False: come again. */
bool judge_wide_sweep(pstk_judge *judge, uint32_t clock, uint32_t *budget);
void judge_wide_rebuild(pstk_judge *judge);

/* ---- engine_judge_window_tell.c -------------------------------------------------------------- */

typedef struct judge_telling { /* one window that ends */
    pstk_figures figures;
    int64_t start_ns, end_ns;
    uint32_t pane_flags;
    uint32_t flags; /* PSTK_FLAG_* */
    uint32_t revision;
} judge_telling;
void judge_wide_tell(pstk_judge *judge, uint32_t wide, judge_telling *it);

#endif
