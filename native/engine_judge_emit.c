/* judge emit: facts get names, identity and digest, and stand in the event ring; results in theirs.
 * Identity: UUIDv8 (RFC 9562) of SHA-256 over "penstock-event/1", plant, rule, series, tag, kind,
 * time_epoch, at_ns, occurrence, revision joined by 0x1F. Nothing from a wall clock or a table
 * index enters. Digest: SHA-256/128 over "penstock-digest/1", then little-endian at, start, end,
 * value, start and end reading, limit, sum, min, max, first, last, count (8 bytes each),
 * occurrence, time_epoch, revision, flags (4), kind text, value type (4), then rule, series, tag,
 * asset, code text, order, operation, material, lot, shift, and by where there is one; each text
 * behind its length (4 bytes); of a window whose rule asks for more: which (4), variance, tw_mean,
 * integral, rate, share, completeness, quality_share (8 each). The value of a code is its text,
 * since codes are numbered by the journal. */
#include "engine_judge_state.h"

#include <stdio.h>

static const char *const kind_text[PSTK_EVENT_KIND_COUNT] = {
#define JUDGE_KIND_TEXT(name, text) [PSTK_EVENT_##name] = text,
    PSTK_EVENT_KIND_LIST(JUDGE_KIND_TEXT)
#undef JUDGE_KIND_TEXT
};

const char *pstk_event_by(const pstk_event *event) {
    bool is_alarm =
        event->kind >= PSTK_EVENT_ALARM_ACKNOWLEDGED && event->kind <= PSTK_EVENT_ALARM_UNSHELVED;
    if (!is_alarm && !(event->flags & PSTK_FLAG_OPERATOR))
        return "";
    return (const char *)&event->figures; /* no window: its place is free */
}

int pstk_event_group(const pstk_event *event, char *out_name, size_t capacity) {
    char name[PSTK_NAME_BYTES];
    bool is_group = event->kind == PSTK_EVENT_GAP_LOST;
    int bytes = 0;
    if (is_group) /* no window: the source's name has that place */
        bytes = snprintf(name, sizeof name, "%.63s/%u", (const char *)&event->figures,
                         (uint32_t)event->value.i64);
    pstk_copy_text(out_name, capacity, name, (size_t)bytes);
    return bytes;
}

bool judge_has_room(const pstk_judge *judge) {
    uint64_t acknowledged = __atomic_load_n(&judge->event_acknowledged, __ATOMIC_ACQUIRE);
    return judge->options.event_slots - (judge->event_head - acknowledged) >= PSTK_EVENT_MARGIN;
}

uint32_t judge_tag_of(const pstk_judge *judge, const judge_instance *instance) {
    if (judge_is_by_tag(instance->kind))
        return instance->key - 1;
    if (!judge_is_group(instance->kind))
        return UINT32_MAX;
    uint32_t bound = judge_group_at(judge, instance->state)->role[PSTK_ROLE_VALUE].tag;
    return bound ? bound - 1 : UINT32_MAX;
}

pstk_event *judge_event_begin(pstk_judge *judge, uint32_t index, pstk_event_kind kind,
                              int64_t at_ns) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    uint32_t tag = judge_tag_of(judge, instance);
    pstk_event *event = &judge->event[judge->event_head & (judge->options.event_slots - 1)];
    judge_touch(judge, event, sizeof *event);
    memset(event, 0, sizeof *event);
    event->seq = judge->event_head;
    event->pos = judge->head.pos;
    event->engine_time_ns = judge->head.now_ns;
    event->at_ns = event->start_ns = at_ns;
    event->end_ns = PSTK_TIME_NONE;
    event->rule = instance->name;
    event->tag = tag;
    event->asset = instance->asset;
    event->kind = (uint16_t)kind;
    event->config_gen_low = (uint8_t)judge->head.generation;
    if (judge_is_tag(judge, tag)) {
        event->value_type = judge_hot_raw(judge, tag)->type;
        event->time_epoch = judge_stream_at(judge, judge_hot_raw(judge, tag)->stream)->epoch;
    }
    return event;
}

/* ---- identity and digest -------------------------------------------------------------------- */

static void put_field(pstk_sha256 *sha, const char *text) {
    pstk_sha256_update(sha, "\x1f", 1);
    pstk_sha256_update(sha, text, strlen(text));
}

static void put_decimal(pstk_sha256 *sha, int64_t number) {
    char text[24];
    char *end = text + sizeof text - 1, *p = end;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *end = 0;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        *--p = '-';
    put_field(sha, p);
}

static void identify(const pstk_judge *judge, pstk_event *event, const char *tag) {
    pstk_sha256 sha;
    uint8_t hash[32];
    const judge_name *name = judge_name_raw(judge, event->rule);
    pstk_sha256_init(&sha);
    pstk_sha256_update(&sha, "penstock-event/1", 16);
    put_field(&sha, judge->options.plant);
    put_field(&sha, name->name);
    put_field(&sha, name->series);
    put_field(&sha, tag);
    put_field(&sha, kind_text[event->kind]);
    put_decimal(&sha, event->time_epoch);
    put_decimal(&sha, event->at_ns);
    put_decimal(&sha, event->occurrence);
    put_decimal(&sha, event->revision);
    pstk_sha256_final(&sha, hash);
    memcpy(event->id, hash, sizeof event->id);
    event->id[6] = (uint8_t)((event->id[6] & 0x0F) | 0x80); /* version 8 */
    event->id[8] = (uint8_t)((event->id[8] & 0x3F) | 0x80); /* variant 10 */
}

static void put_text(pstk_sha256 *sha, const char *text, size_t capacity) {
    uint8_t size[4];
    size_t bytes = strnlen(text, capacity);
    pstk_store_u32(size, (uint32_t)bytes);
    pstk_sha256_update(sha, size, sizeof size);
    pstk_sha256_update(sha, text, bytes);
}

static void put_numbers(pstk_sha256 *sha, const pstk_event *event, bool is_code) {
    uint8_t bytes[13 * 8 + 4 * 4];
    uint64_t wide[13] = {(uint64_t)event->at_ns,    (uint64_t)event->start_ns,
                         (uint64_t)event->end_ns,   is_code ? 0 : event->value.bits,
                         event->start_reading.bits, event->end_reading.bits};
    memcpy(wide + 6, &event->limit, 6 * sizeof(double)); /* limit, sum, min, max, first, last */
    wide[12] = event->count;
    for (size_t k = 0; k < 13; k++)
        pstk_store_u64(bytes + 8 * k, wide[k]);
    const uint32_t narrow[4] = {event->occurrence, event->time_epoch, event->revision,
                                event->flags};
    for (size_t k = 0; k < 4; k++)
        pstk_store_u32(bytes + 104 + 4 * k, narrow[k]);
    pstk_sha256_update(sha, bytes, sizeof bytes);
}
_Static_assert(offsetof(pstk_event, last) - offsetof(pstk_event, limit) == 5 * sizeof(double),
               "limit..last stand in one row");

/* What a window's rule asks for beyond, where it does: else the digest is as it was before. */
static void put_figures(pstk_sha256 *sha, const pstk_event *event) {
    const pstk_event_figures *at = &event->figures;
    const double figure[7] = {at->variance, at->tw_mean,      at->integral,     at->rate,
                              at->share,    at->completeness, at->quality_share};
    uint8_t bytes[4 + sizeof figure];
    if (event->kind != PSTK_EVENT_WINDOW_CLOSE || !at->asked)
        return;
    pstk_store_u32(bytes, at->asked);
    for (size_t k = 0; k < 7; k++)
        pstk_store_u64(bytes + 4 + 8 * k, ((pstk_value){.f64 = figure[k]}).bits);
    pstk_sha256_update(sha, bytes, sizeof bytes);
}

static void digest(const pstk_judge *judge, pstk_event *event, const char *tag) {
    pstk_sha256 sha;
    uint8_t hash[32], type[4];
    const judge_name *name = judge_name_raw(judge, event->rule);
    bool is_code = event->value_type == PSTK_TYPE_CODE;
    const char *text =
        is_code ? pstk_tags_code_text(judge->tags, event->tag, event->value.i64) : NULL;
    pstk_sha256_init(&sha);
    pstk_sha256_update(&sha, "penstock-digest/1", 17);
    put_numbers(&sha, event, is_code);
    put_text(&sha, kind_text[event->kind], 64);
    pstk_store_u32(type, event->value_type);
    pstk_sha256_update(&sha, type, sizeof type);
    put_text(&sha, name->name, sizeof name->name);
    put_text(&sha, name->series, sizeof name->series);
    put_text(&sha, tag, PSTK_NAME_BYTES);
    put_text(&sha, judge_asset_at(judge, event->asset)->name, PSTK_NAME_BYTES);
    put_text(&sha, text ? text : "", PSTK_NAME_BYTES);
    put_text(&sha, event->context.order, sizeof event->context.order);
    put_text(&sha, event->context.operation, sizeof event->context.operation);
    put_text(&sha, event->context.material, sizeof event->context.material);
    put_text(&sha, event->context.lot, sizeof event->context.lot);
    put_text(&sha, event->context.shift, sizeof event->context.shift);
    put_figures(&sha, event);
    if (pstk_event_by(event)[0])
        put_text(&sha, pstk_event_by(event), PSTK_CONTEXT_BYTES);
    pstk_sha256_final(&sha, hash);
    memcpy(event->digest, hash, sizeof event->digest);
}

/* Trips, clears and re-alarms never repeat a stamp under one table; restarts, gaps and what comes
 * between the ends of states bring their own count; judge_told counts what a person can repeat. */
static bool is_of_alarm(uint16_t kind) {
    return kind < PSTK_EVENT_LIMIT_CHATTERING ||
           (kind >= PSTK_EVENT_LIMIT_HH_REALARM && kind < PSTK_EVENT_RATE_CHATTERING) ||
           kind == PSTK_EVENT_STUCK_TRIP || kind == PSTK_EVENT_STUCK_CLEAR ||
           kind == PSTK_EVENT_FRESHNESS_TRIP || kind == PSTK_EVENT_FRESHNESS_CLEAR;
}

static bool is_once(uint16_t kind) {
    return is_of_alarm(kind) || kind == PSTK_EVENT_RULE_RESTARTED ||
           kind == PSTK_EVENT_STATE_ENTER || kind == PSTK_EVENT_STATE_MICRO ||
           kind == PSTK_EVENT_GAP_LOST ||
           (kind >= PSTK_EVENT_ALARM_ACKNOWLEDGED && kind <= PSTK_EVENT_ALARM_UNSHELVED);
}

static judge_last *last_of(pstk_judge *judge, judge_instance *instance) {
    if (!instance->last)
        instance->last = judge_arena_take(judge, JUDGE_LAST); /* as many as instances: never full */
    return judge_last_at(judge, instance->last);
}

/* What is told ahead of its stamps, or waits for the watermark: where its rule changes, the same
 * stamp may come again. */
static void count_told(pstk_judge *judge, judge_instance *instance, pstk_event *event) {
    judge_last *last = last_of(judge, instance);
    if (last->base && event->at_ns <= last->before_ns)
        event->occurrence += last->base;
    last->newest_ns = last->top ? PSTK_MAX(last->newest_ns, event->at_ns) : event->at_ns;
    last->top = PSTK_MAX(last->top, event->occurrence + 1);
}

void judge_told_end(pstk_judge *judge, const judge_instance *instance) {
    if (!instance->last || !judge_last_raw(judge, instance->last)->top)
        return;
    judge_last *last = judge_last_at(judge, instance->last);
    last->before_ns = last->base ? PSTK_MAX(last->before_ns, last->newest_ns) : last->newest_ns;
    last->base = PSTK_MAX(last->base, last->top);
    last->top = 0;
}

/* What may repeat a stamp is told apart here. */
static void count_occurrence(pstk_judge *judge, judge_instance *instance, pstk_event *event) {
    if (is_once(event->kind)) {
        if (is_of_alarm(event->kind))
            count_told(judge, instance, event);
        return;
    }
    if (event->revision) /* told apart by it */
        return;
    bool is_first = !instance->last;
    judge_last *last = last_of(judge, instance);
    bool is_again = !is_first && last->kind == event->kind && last->at_ns == event->at_ns &&
                    last->epoch == event->time_epoch;
    last->occurrence = is_again ? last->occurrence + 1 : 0;
    last->kind = event->kind;
    last->at_ns = event->at_ns;
    last->epoch = event->time_epoch;
    event->occurrence = last->occurrence;
}

void judge_event_commit(pstk_judge *judge, uint32_t index, pstk_event *event) {
    const pstk_tag *tag = pstk_tags_get(judge->tags, event->tag);
    char group[PSTK_NAME_BYTES];
    const char *tag_name = tag ? tag->name : "";
    if (pstk_event_group(event, group, sizeof group))
        tag_name = group;
    count_occurrence(judge, judge_instance_at(judge, index), event);
    identify(judge, event, tag_name);
    digest(judge, event, tag_name);
    JUDGE_COUNT(judge->head.counters.events, 1);
    /* Pairs with the acquire in events_poll: the slot is whole before its number shows. */
    __atomic_store_n(&judge->event_head, judge->event_head + 1, __ATOMIC_RELEASE);
}

/* ---- event ring, consumer's side ------------------------------------------------------------ */

uint64_t pstk_judge_events_head(const pstk_judge *judge) {
    return __atomic_load_n(&judge->event_head, __ATOMIC_ACQUIRE);
}

uint64_t pstk_judge_events_acknowledged(const pstk_judge *judge) {
    return __atomic_load_n(&judge->event_acknowledged, __ATOMIC_SEQ_CST);
}

size_t pstk_judge_events_poll(const pstk_judge *judge, uint64_t from_seq, pstk_event *out_events,
                              size_t capacity) {
    uint64_t head = pstk_judge_events_head(judge);
    uint64_t seq = PSTK_MAX(from_seq, pstk_judge_events_acknowledged(judge));
    size_t count = 0;
    for (; seq < head && count < capacity; seq++)
        out_events[count++] = judge->event[seq & (judge->options.event_slots - 1)];
    return count;
}

void pstk_judge_events_acknowledge(pstk_judge *judge, uint64_t seq) {
    uint64_t head = pstk_judge_events_head(judge);
    uint64_t next = seq >= head ? head : seq + 1;
    /* Pairs with the acquire in judge_has_room: the consumer has done with the slots before they
     * are used again. In one order with is_backlogged (pstk_engine_judge): either the consumer sees
     * that judging has stopped, or judging that there is room again. */
    if (next > judge->event_acknowledged)
        __atomic_store_n(&judge->event_acknowledged, next, __ATOMIC_SEQ_CST);
}

/* ---- result ring: overwritten when unread --------------------------------------------------- */

#define RESULT_WORDS (sizeof(pstk_result) / 8)
#define MORE_WORDS (sizeof(pstk_aggregates) / 8)

/* Release on each word keeps the order begin, words, head without a fence. */
static void put_words(void *slot, const void *from, size_t words) {
    for (size_t k = 0; k < words; k++)
        __atomic_store_n((uint64_t *)slot + k, pstk_load_u64((const uint8_t *)from + 8 * k),
                         __ATOMIC_RELEASE);
}

static void take_words(void *out, const void *slot, size_t words) {
    for (size_t k = 0; k < words; k++)
        pstk_store_u64((uint8_t *)out + 8 * k,
                       __atomic_load_n((const uint64_t *)slot + k, __ATOMIC_ACQUIRE));
}

void judge_result_put(pstk_judge *judge, const pstk_result *result, const pstk_aggregates *more) {
    uint64_t mask = judge->options.result_slots - 1;
    pstk_result row = *result;
    /* begin is told before the first word and head after the last: a reader that copied a slot
     * being overwritten sees begin beyond it. */
    __atomic_store_n(&judge->result_begin, judge->result_head + 1, __ATOMIC_RELAXED);
    if (more) {
        put_words(&judge->more[judge->more_head & mask], more, MORE_WORDS);
        row.more = ++judge->more_head;
    }
    put_words(&judge->result[judge->result_head & mask], &row, RESULT_WORDS);
    __atomic_store_n(&judge->result_head, judge->result_head + 1, __ATOMIC_RELEASE);
    JUDGE_COUNT(judge->head.counters.results, 1);
}

static const pstk_aggregates nothing_more = {.min_ns = PSTK_TIME_NONE,
                                             .max_ns = PSTK_TIME_NONE,
                                             .range = __builtin_nan(""),
                                             .variance = __builtin_nan(""),
                                             .tw_mean = __builtin_nan(""),
                                             .integral = __builtin_nan(""),
                                             .rate = __builtin_nan(""),
                                             .share = __builtin_nan(""),
                                             .completeness = __builtin_nan(""),
                                             .quality_share = __builtin_nan("")};

/* A row that stands has what it points to: there are never more of these than rows behind it. */
static void take_more(const pstk_judge *judge, const pstk_result *row, pstk_aggregates *out) {
    *out = nothing_more;
    if (row->more)
        take_words(out, &judge->more[(row->more - 1) & (judge->options.result_slots - 1)],
                   MORE_WORDS);
}

size_t pstk_judge_results_take(pstk_judge *judge, pstk_result *out_results,
                               pstk_aggregates *out_aggregates, size_t capacity,
                               uint64_t *out_overwritten) {
    uint64_t slots = judge->options.result_slots, tail = judge->result_tail;
    uint64_t head = __atomic_load_n(&judge->result_head, __ATOMIC_ACQUIRE);
    if (head - tail > slots)
        tail = head - slots;
    uint64_t begun = tail, count = PSTK_MIN(head - tail, (uint64_t)capacity);
    for (uint64_t i = 0; i < count; i++) {
        take_words(&out_results[i], &judge->result[(tail + i) & (slots - 1)], RESULT_WORDS);
        if (out_aggregates)
            take_more(judge, &out_results[i], &out_aggregates[i]);
    }
    uint64_t begin = __atomic_load_n(&judge->result_begin, __ATOMIC_RELAXED);
    uint64_t lost = begin > begun + slots ? PSTK_MIN(begin - slots - begun, count) : 0;
    size_t kept = (size_t)(count - lost);
    memmove(out_results, out_results + lost, kept * sizeof *out_results);
    if (out_aggregates)
        memmove(out_aggregates, out_aggregates + lost, kept * sizeof *out_aggregates);
    uint64_t overwritten = tail + lost - judge->result_tail;
    judge->result_tail = tail + count;
    JUDGE_COUNT(judge->result_overwritten, overwritten);
    if (out_overwritten)
        *out_overwritten = overwritten;
    return kept;
}
_Static_assert(sizeof(pstk_result) % 8 == 0 && sizeof(pstk_aggregates) % 8 == 0,
               "results are copied by words");
_Static_assert(sizeof(pstk_event) == 384, "events are part of the image");
