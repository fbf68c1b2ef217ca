/* check: options and rules within their bounds before anything is opened. Configuration was
 * validated above; whoever embeds the engine in C meets the same bounds here, each refused by name.
 */
#include "engine.h"
#include "window/window.h"

#define TIME_NS_MAX (INT64_C(1) << 60) /* 36 years: sums of a stamp and a span cannot overflow */
#define FRAME_BYTES_MIN 256u
#define FRAME_BYTES_MAX (64u << 20)
#define CODES_MAX 4096u

static bool is_power_of_two(uint64_t x) { return x && (x & (x - 1)) == 0; }
static bool is_ended(const char *text, size_t capacity) { return memchr(text, 0, capacity); }
static bool is_span(int64_t ns) { return ns >= 0 && ns <= TIME_NS_MAX; }

/* ---- engine --------------------------------------------------------------------------------- */

typedef struct bound {
    const char *name;
    uint64_t value, min, max;
    bool is_power;
} bound;

static int check_bound(const bound *b, pstk_error *err) {
    if (b->value >= b->min && b->value <= b->max && (!b->is_power || is_power_of_two(b->value)))
        return PSTK_OK;
    return pstk_fail(err, PSTK_E_ARGUMENT, 0, "engine.%s = %llu is not %s%llu..%llu", b->name,
                     (unsigned long long)b->value, b->is_power ? "a power of two in " : "in ",
                     (unsigned long long)b->min, (unsigned long long)b->max);
}

static int check_bounds(const pstk_engine_options *o, pstk_error *err) {
    const bound bounds[] = {
        {"ring_bytes", o->ring_bytes ? o->ring_bytes : 1u << 20, 1u << 20, 1u << 30, true},
        {"tags_max", o->tags_max, 1, 1u << 22, false},
        {"instances_max", o->instances_max, 1, 1u << 23, false},
        {"streams_max", o->streams_max, 1, 65535, false},
        {"assets_max", o->assets_max, 1, 1u << 16, false},
        {"event_slots", o->event_slots, 256, 1u << 20, true},
        {"result_slots", o->result_slots, 256, 1u << 22, true},
        {"reorder_slots", o->reorder_slots, 256, 1u << 24, false},
        {"codes_max", o->codes_max, 1, CODES_MAX, false},
        {"checkpoint_ns", (uint64_t)o->checkpoint_ns, 1, TIME_NS_MAX, false},
        {"durability", o->durability, PSTK_DURABILITY_PROCESS, PSTK_DURABILITY_POWER, false},
        {"sync_ns", o->sync_ns ? (uint64_t)o->sync_ns : 1000000, 1000000, TIME_NS_MAX, false},
        {"journal_bytes_max", o->journal_bytes_max ? o->journal_bytes_max : 1u << 20, 1u << 20,
         UINT64_C(1) << 40, false},
        {"clock", o->clock, PSTK_CLOCK_SYSTEM, PSTK_CLOCK_MANUAL, false},
    };
    int status = PSTK_OK;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0] && status == PSTK_OK; i++)
        status = check_bound(&bounds[i], err);
    return status;
}

/* ---- sources -------------------------------------------------------------------------------- */

static bool are_source_texts_ended(const pstk_source_options *o) {
    bool is_right = is_ended(o->name, sizeof o->name) && is_ended(o->host, sizeof o->host) &&
                    is_ended(o->user, sizeof o->user) &&
                    is_ended(o->password, sizeof o->password) &&
                    is_ended(o->token, sizeof o->token) && o->subject_count <= PSTK_SUBJECTS_MAX;
    for (uint16_t i = 0; is_right && i < o->subject_count; i++)
        is_right = is_ended(o->subjects[i], sizeof o->subjects[i]);
    return is_right;
}

static int check_source(const pstk_source_options *source, size_t index, pstk_error *err) {
    bool may_block = source->kind == PSTK_SOURCE_FEED || source->kind == PSTK_SOURCE_ZMQ_PULL ||
                     source->kind == PSTK_SOURCE_REPLAY;
    if (!are_source_texts_ended(source))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %zu has a text without an end, or more than %u subjects", index,
                         PSTK_SUBJECTS_MAX);
    if (source->kind > PSTK_SOURCE_REPLAY || source->format > PSTK_FORMAT_JSON ||
        source->full > PSTK_FULL_DROP || !source->name[0])
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %zu has no name, or an unknown kind, format or full", index);
    if (source->full == PSTK_FULL_BLOCK && !may_block)
        return pstk_fail(
            err, PSTK_E_ARGUMENT, 0,
            "source %s: full = block would lose samples uncounted at the sender; use drop",
            source->name);
    if (source->frame_bytes_max < FRAME_BYTES_MIN || source->frame_bytes_max > FRAME_BYTES_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: frame_bytes_max is not in 256..64 MiB", source->name);
    if (!(source->ring_share > 0 && source->ring_share <= 1))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: ring_share is not above 0, up to 1",
                         source->name);
    if (!is_span(source->lateness_ns) || !is_span(source->idle_after_ns) ||
        !is_span(source->future_max_ns))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: lateness, idle_after or future_max is negative, or above 36 "
                         "years",
                         source->name);
    return PSTK_OK;
}

static int check_sources(const pstk_source_options *sources, size_t count, pstk_error *err) {
    if (count > PSTK_SOURCES_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "%zu sources are more than %u", count,
                         PSTK_SOURCES_MAX);
    for (size_t i = 0; i < count; i++) {
        int status = check_source(&sources[i], i, err);
        if (status != PSTK_OK)
            return status;
        for (size_t k = 0; k < i; k++)
            if (strcmp(sources[k].name, sources[i].name) == 0)
                return pstk_fail(err, PSTK_E_ARGUMENT, 0, "two sources are named %s",
                                 sources[i].name);
    }
    return PSTK_OK;
}

int pstk_engine_check_options(const pstk_engine_options *options,
                              const pstk_source_options *sources, size_t source_count,
                              pstk_error *err) {
    if (options->abi_version != PSTK_ABI_VERSION)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "built for ABI %u, this library has %u",
                         options->abi_version, PSTK_ABI_VERSION);
    if (!is_ended(options->plant, sizeof options->plant) ||
        !is_ended(options->state_dir, sizeof options->state_dir) ||
        !is_ended(options->ring_dir, sizeof options->ring_dir) || !options->plant[0] ||
        !options->state_dir[0] || !options->ring_dir[0])
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "plant, state_dir and ring_dir must be given, each zero-terminated");
    int status = check_bounds(options, err);
    return status == PSTK_OK ? check_sources(sources, source_count, err) : status;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool are_rule_texts_ended(const pstk_rule *rule) {
    bool is_right =
        is_ended(rule->name, sizeof rule->name) && rule->name[0] &&
        is_ended(rule->series, sizeof rule->series) && is_ended(rule->unit, sizeof rule->unit) &&
        is_ended(rule->suppress_tag, sizeof rule->suppress_tag) &&
        is_ended(rule->suppress_by, sizeof rule->suppress_by) &&
        is_ended(rule->source, sizeof rule->source) && is_ended(rule->asset, sizeof rule->asset) &&
        rule->state_count <= PSTK_STATES_MAX;
    for (int role = 0; role < PSTK_ROLE_COUNT && is_right; role++)
        is_right = is_ended(rule->pattern[role], PSTK_NAME_BYTES);
    for (uint32_t i = 0; is_right && i < rule->state_count; i++)
        is_right = is_ended(rule->state_text[i], sizeof rule->state_text[i]);
    return is_right;
}

static int check_alarm(const pstk_rule *rule, pstk_error *err) {
    bool is_rate = rule->kind == PSTK_RULE_RATE;
    bool is_waiting = rule->kind == PSTK_RULE_STUCK || rule->kind == PSTK_RULE_FRESHNESS;
    if (!is_span(rule->span_ns) || !is_span(rule->after_ns) || !(rule->band >= 0))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: span, after or band is negative, or above 36 years", rule->name);
    if (is_rate && (rule->span_ns < 1000 || rule->rate_unit_ns <= 0))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: a rate needs a span of a microsecond or more, and its unit of "
                         "time",
                         rule->name);
    if (is_waiting && rule->after_ns == 0)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %s: needs after, how long it waits",
                         rule->name);
    if (rule->kind == PSTK_RULE_FRESHNESS && rule->order == PSTK_ORDER_EVENT)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: freshness is judged as samples arrive, never by event order",
                         rule->name);
    if (rule->quality > PSTK_QUALITY_SUPPRESS ||
        (rule->quality == PSTK_QUALITY_TRIP && rule->kind != PSTK_RULE_LIMIT))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: quality is hold or suppress, of a limit also trip", rule->name);
    return PSTK_OK;
}

static int check_rule(const pstk_rule *rule, size_t index, pstk_error *err) {
    if (!are_rule_texts_ended(rule))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %zu has no name, a text without an end, or more than %u states",
                         index, PSTK_STATES_MAX);
    if (rule->kind < PSTK_RULE_LIMIT || rule->kind > PSTK_RULE_GAP)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %s: kind %u is unknown", rule->name,
                         (unsigned)rule->kind);
    bool are_spans = is_span(rule->size_ns) && is_span(rule->min_duration_ns) &&
                     is_span(rule->micro_every_ns) && rule->offset_ns <= TIME_NS_MAX &&
                     rule->offset_ns >= -TIME_NS_MAX;
    for (int level = 0; level < PSTK_LEVEL_COUNT; level++)
        are_spans = are_spans && is_span(rule->level[level].on_delay_ns) &&
                    is_span(rule->level[level].off_delay_ns) &&
                    is_span(rule->level[level].re_alarm_ns);
    if (!are_spans)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: a duration is negative, or above 36 years", rule->name);
    if (rule->kind == PSTK_RULE_WINDOW && !pstk_window_is_valid(rule))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "rule %s: a window needs one of size, session gap and count; a size that "
                         "is a multiple of its hop, at most %u times; corrections only where it "
                         "tumbles",
                         rule->name, PSTK_HOPS_MAX);
    if (rule->kind == PSTK_RULE_TOTAL && rule->rate_unit_ns <= 0)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %s: a total needs the unit of its flow",
                         rule->name);
    if (rule->kind == PSTK_RULE_GAP && !rule->source[0])
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %s: a gap rule names its source",
                         rule->name);
    if (rule->state_on > PSTK_ON_BOTH || rule->micro > PSTK_MICRO_FOLD ||
        rule->negative > PSTK_NEGATIVE_IGNORE)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %s: state_on, micro or negative is unknown",
                         rule->name);
    return check_alarm(rule, err);
}

int pstk_engine_check_rules(const pstk_rule *rules, size_t rule_count, pstk_error *err) {
    if (rule_count > PSTK_RULES_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "%zu rules are more than %u", rule_count,
                         PSTK_RULES_MAX);
    for (size_t i = 0; i < rule_count; i++) {
        int status = check_rule(&rules[i], i, err);
        if (status != PSTK_OK)
            return status;
        for (size_t k = 0; k < i; k++)
            if (strcmp(rules[k].name, rules[i].name) == 0 &&
                strcmp(rules[k].series, rules[i].series) == 0)
                return pstk_fail(err, PSTK_E_ARGUMENT, 0, "two rules are named %s, series %s",
                                 rules[i].name, rules[i].series);
    }
    return PSTK_OK;
}
