/* judge group: counters, totals and states: the roles of one instance become one transition an
 * instant. The segment's lot and order are what their tags said when it opened; its context is the
 * asset's as of then, and what was not known then is taken as of its end. */
#include "engine_judge_state.h"

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_group *group) {
    return judge_rule_of(judge, judge_instance_at(judge, group->instance));
}

bool judge_convert(uint8_t from, pstk_value value, uint8_t to, pstk_value *out) {
    bool is_integer = from == PSTK_TYPE_I64 || from == PSTK_TYPE_BOOL;
    if (from == to || (is_integer && to == PSTK_TYPE_I64)) {
        *out = value;
        return true;
    }
    if (is_integer && to == PSTK_TYPE_F64) {
        out->f64 = (double)value.i64;
        return out->f64 < 9223372036854775808.0 && (int64_t)out->f64 == value.i64;
    }
    bool is_inside = from == PSTK_TYPE_F64 && value.f64 >= -9223372036854775808.0 &&
                     value.f64 < 9223372036854775808.0;
    if (!is_inside || to != PSTK_TYPE_I64)
        return false;
    out->i64 = (int64_t)value.f64;
    return (double)out->i64 == value.f64;
}

void judge_group_open(pstk_judge *judge, uint32_t index, uint32_t instance) {
    judge_group *group = judge_group_at(judge, index);
    memset(group, 0, sizeof *group);
    group->instance = instance;
    group->last_ns = INT64_MIN;
    group->wake_ns = PSTK_TIME_NONE;
    group->from_ns = INT64_MIN;
    if (judge_instance_raw(judge, instance)->kind == PSTK_RULE_STATE) {
        pstk_micro_init(&group->u.state.micro);
        group->u.state.enter_ns = PSTK_TIME_NONE;
    }
}

/* ---- roles ---------------------------------------------------------------------------------- */

/* The tag goes by another clock than the value's. */
static bool is_foreign(const pstk_judge *judge, const judge_group *group, uint32_t tag) {
    uint32_t value_tag = group->role[PSTK_ROLE_VALUE].tag;
    return value_tag &&
           judge_hot_raw(judge, tag)->clock != judge_hot_raw(judge, value_tag - 1)->clock;
}

void judge_group_role(pstk_judge *judge, uint32_t index, uint32_t role_index,
                      const judge_node *node, uint8_t type) {
    judge_group *group = judge_group_at(judge, index);
    judge_role *role = &group->role[role_index];
    if (node->time_ns < group->last_ns && !is_foreign(judge, group, node->tag)) {
        JUDGE_COUNT(judge->head.counters.late, 1); /* an overflow took later ones early */
        return;
    }
    if (judge_is_bad(node->quality) &&
        (role_index != PSTK_ROLE_VALUE ||
         judge_instance_raw(judge, group->instance)->kind != PSTK_RULE_TOTAL))
        return; /* only a flow ends where it is bad */
    role->value = node->value;
    role->time_ns = PSTK_MAX(
        node->time_ns, group->last_ns); /* a lot told by another, slower clock holds from now on */
    role->quality = node->quality;
    role->type = type;
}

static bool is_new(const judge_role *role, int64_t time_ns) {
    return role->type != PSTK_TYPE_NONE && role->time_ns == time_ns;
}

/* A lot or order as text: decimal for numbers, the text of a code. False: no text for it. */
void judge_role_text(const pstk_judge *judge, uint32_t tag, uint8_t type, pstk_value value,
                     char out[PSTK_CONTEXT_BYTES]) {
    memset(out, 0, PSTK_CONTEXT_BYTES);
    if (type == PSTK_TYPE_CODE) {
        const char *text = tag ? pstk_tags_code_text(judge->tags, tag - 1, value.i64) : NULL;
        if (text)
            pstk_copy_text(out, PSTK_CONTEXT_BYTES, text, strlen(text));
        return;
    }
    pstk_value whole;
    if (!judge_convert(type, value, PSTK_TYPE_I64, &whole))
        return;
    char digits[24], *p = digits + sizeof digits - 1;
    uint64_t rest = whole.i64 < 0 ? 0 - (uint64_t)whole.i64 : (uint64_t)whole.i64;
    *p = 0;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (whole.i64 < 0)
        *--p = '-';
    pstk_copy_text(out, PSTK_CONTEXT_BYTES, p, strlen(p));
}

/* ---- the open segment ----------------------------------------------------------------------- */

static void open_context(pstk_judge *judge, judge_group *group, int64_t start_ns) {
    uint32_t asset = judge_instance_at(judge, group->instance)->asset;
    group->context_set = judge_context_at(judge, asset, start_ns, &group->context);
    const judge_role *lot = &group->role[PSTK_ROLE_LOT], *order = &group->role[PSTK_ROLE_ORDER];
    group->lot = lot->value;
    group->lot_type = lot->type;
    group->order = order->value;
    group->order_type = order->type;
    group->start_seen = group->role[PSTK_ROLE_START].value;
    group->start_type = group->role[PSTK_ROLE_START].type;
    group->is_open = 1;
}

/* What the segment's events say about where it was made. */
static void fill_context(const pstk_judge *judge, const judge_group *group, bool is_lot_unknown,
                         pstk_event *event) {
    const pstk_rule *rule = rule_of(judge, group);
    event->context = group->context;
    int64_t before_ns = event->end_ns == PSTK_TIME_NONE ? event->at_ns : event->end_ns - 1;
    judge_context_fill(judge, event->asset, group->context_set, before_ns, &event->context);
    bool has_lot = rule->pattern[PSTK_ROLE_LOT][0], has_order = rule->pattern[PSTK_ROLE_ORDER][0];
    if (is_lot_unknown) {
        memset(event->context.lot, 0, sizeof event->context.lot);
        if (has_order)
            memset(event->context.order, 0, sizeof event->context.order);
        return;
    }
    if (has_lot && group->lot_type)
        judge_role_text(judge, group->role[PSTK_ROLE_LOT].tag, group->lot_type, group->lot,
                        event->context.lot);
    if (has_order && group->order_type)
        judge_role_text(judge, group->role[PSTK_ROLE_ORDER].tag, group->order_type, group->order,
                        event->context.order);
}

/* The rule asks for a lot (or an order), and nobody has told one so far. */
static bool is_lot_untold(const pstk_rule *rule, const judge_group *group,
                          const pstk_context_values *context) {
    if (rule->pattern[PSTK_ROLE_LOT][0])
        return !group->lot_type && !context->lot[0];
    return rule->pattern[PSTK_ROLE_ORDER][0] && !group->order_type && !context->order[0];
}

static bool is_zero(const pstk_segment_fact *fact) {
    return fact->type == PSTK_TYPE_I64 ? fact->quantity.i64 == 0 : fact->quantity.f64 == 0.0;
}

static void emit_segment(pstk_judge *judge, judge_group *group, const pstk_segment_fact *fact) {
    const pstk_rule *rule = rule_of(judge, group);
    bool is_counter = rule->kind == PSTK_RULE_COUNTER;
    if (is_zero(fact) && (!rule->emits_zero || fact->is_baseline))
        return;
    pstk_event *event = judge_event_begin(
        judge, group->instance, is_counter ? PSTK_EVENT_COUNTER_SEGMENT : PSTK_EVENT_TOTAL_SEGMENT,
        fact->start_ns);
    event->end_ns = fact->end_ns;
    event->value = fact->quantity;
    event->start_reading = fact->start;
    event->end_reading = fact->end;
    event->count = fact->count;
    event->flags = fact->flags;
    event->value_type = fact->type;
    fill_context(judge, group, fact->flags & PSTK_FLAG_UNKNOWN_LOT, event);
    if (is_lot_untold(rule, group, &event->context))
        event->flags |= PSTK_FLAG_UNKNOWN_LOT;
    judge_event_commit(judge, group->instance, event);
}

/* ---- cuts ----------------------------------------------------------------------------------- */

typedef struct cut {
    bool is_cut, is_adopted, is_lot;
} cut;

static void cut_by_role(const judge_role *role, int64_t time_ns, bool is_wanted, uint8_t type,
                        pstk_value value, cut *out, bool *out_changed) {
    *out_changed = false;
    if (!is_new(role, time_ns) || !judge_role_is_other(role, type, value))
        return;
    if (type == PSTK_TYPE_NONE)
        return; /* known for the first time: not a change */
    *out_changed = is_wanted;
    out->is_cut |= is_wanted;
}

static void cut_by_context(pstk_judge *judge, judge_group *group, int64_t time_ns, cut *out) {
    const pstk_rule *rule = rule_of(judge, group);
    uint32_t bits = rule->cut_on & (PSTK_CUT_CONTEXT_ORDER | PSTK_CUT_CONTEXT_LOT);
    if (!bits)
        return;
    pstk_context_values now;
    uint32_t asset = judge_instance_at(judge, group->instance)->asset;
    uint32_t known = judge_context_at(judge, asset, time_ns, &now);
    judge_context_fill(judge, asset, group->context_set, time_ns, &group->context);
    group->context_set |= known; /* known for the first time: not a change */
    if ((bits & PSTK_CUT_CONTEXT_ORDER) && (group->context_set & 1u) &&
        strncmp(now.order, group->context.order, sizeof now.order) != 0)
        out->is_cut = true;
    if ((bits & PSTK_CUT_CONTEXT_LOT) && (group->context_set & 8u) &&
        strncmp(now.lot, group->context.lot, sizeof now.lot) != 0)
        out->is_cut = true;
}

static cut find_cut(pstk_judge *judge, judge_group *group, int64_t time_ns) {
    cut found = {0};
    if (!group->is_open)
        return found;
    const pstk_rule *rule = rule_of(judge, group);
    /* A rule that says nothing about cuts is cut by the tags it names. */
    uint32_t cut_on = rule->cut_on ? rule->cut_on : PSTK_CUT_LOT_TAG | PSTK_CUT_ORDER_TAG;
    bool is_order;
    uint32_t naming = rule->pattern[PSTK_ROLE_LOT][0] ? PSTK_ROLE_LOT : PSTK_ROLE_ORDER;
    uint8_t known = naming == PSTK_ROLE_LOT ? group->lot_type : group->order_type;
    found.is_adopted = !known && is_new(&group->role[naming], time_ns);
    cut_by_role(&group->role[PSTK_ROLE_LOT], time_ns, cut_on & PSTK_CUT_LOT_TAG, group->lot_type,
                group->lot, &found, &found.is_lot);
    cut_by_role(&group->role[PSTK_ROLE_ORDER], time_ns, cut_on & PSTK_CUT_ORDER_TAG,
                group->order_type, group->order, &found, &is_order);
    cut_by_context(judge, group, time_ns, &found);
    return found;
}

/* What became known after the segment opened holds for all of it. */
static void adopt_roles(judge_group *group) {
    const judge_role *lot = &group->role[PSTK_ROLE_LOT], *order = &group->role[PSTK_ROLE_ORDER];
    if (!group->lot_type && lot->type) {
        group->lot = lot->value;
        group->lot_type = lot->type;
    }
    if (!group->order_type && order->type) {
        group->order = order->value;
        group->order_type = order->type;
    }
    group->start_seen = group->role[PSTK_ROLE_START].value;
    group->start_type = group->role[PSTK_ROLE_START].type;
}

/* The newest boundary passed since from_ns: the segment's start, its newest instant, or where a
 * changed rule took over: the new one's boundaries before that count for nothing. A cut that falls
 * on one is that boundary itself: then the one before it counts, where empty intervals lie between.
 */
static int64_t boundary_of(const pstk_rule *rule, int64_t from_ns, int64_t time_ns, bool is_cut) {
    if (rule->size_ns <= 0)
        return PSTK_TIME_NONE;
    int64_t until_ns = time_ns - (is_cut ? 1 : 0);
    int64_t next_ns = pstk_time_floor(from_ns, rule->size_ns, rule->offset_ns) + rule->size_ns;
    return next_ns <= until_ns ? pstk_time_floor(until_ns, rule->size_ns, rule->offset_ns)
                               : PSTK_TIME_NONE;
}

/* A boundary that could only end an empty segment is passed over until something is counted again.
 */
bool judge_group_has_to_tell(const pstk_rule *rule, const judge_group *group) {
    bool is_counter = rule->kind == PSTK_RULE_COUNTER;
    const pstk_quantity *sum = is_counter ? &group->u.counter.quantity : &group->u.total.quantity;
    bool is_flowing = !is_counter && group->u.total.has_rate && group->u.total.rate != 0.0;
    return rule->emits_zero || is_flowing || sum->exact != 0 || sum->sum != 0.0;
}

/* The instance transits once more when the watermark passes. */
void judge_group_wake(pstk_judge *judge, judge_group *group, int64_t at_ns) {
    uint32_t clock = judge_hot_at(judge, group->role[PSTK_ROLE_VALUE].tag - 1)->clock;
    if (group->wake_ns == at_ns)
        return;
    const judge_node node = {.instance = group->instance, .is_boundary = 1, .time_ns = at_ns};
    if (judge_heap_push(judge, clock, &node))
        group->wake_ns = at_ns;
}

/* So that a segment of a silent tag ends with its interval, not with the next sample. */
static void wake_at_boundary(pstk_judge *judge, judge_group *group, int64_t held_ns) {
    const pstk_rule *rule = rule_of(judge, group);
    int64_t from_ns = PSTK_MAX(held_ns, group->from_ns);
    if (rule->size_ns <= 0 || !judge_group_has_to_tell(rule, group))
        return;
    judge_group_wake(judge, group,
                     pstk_time_floor(from_ns, rule->size_ns, rule->offset_ns) + rule->size_ns);
}

void judge_group_rewake(pstk_judge *judge, judge_group *group) {
    uint8_t kind = judge_instance_raw(judge, group->instance)->kind;
    if (kind == PSTK_RULE_STATE && group->u.state.micro.count)
        judge_group_wake(judge, group, group->u.state.micro.end_ns);
    else if (kind == PSTK_RULE_COUNTER && group->u.counter.is_open &&
             !group->u.counter.is_unstarted)
        wake_at_boundary(judge, group, judge_counter_ns(group));
    else if (kind == PSTK_RULE_TOTAL && group->u.total.is_open && !group->u.total.is_unstarted)
        wake_at_boundary(judge, group, judge_total_ns(group));
}

static uint32_t quality_flags(const judge_role *role, int64_t time_ns) {
    return is_new(role, time_ns) && judge_is_uncertain(role->quality)
               ? (uint32_t)PSTK_FLAG_REPLACED_QUALITY
               : 0u;
}

static uint32_t stream_of(const pstk_judge *judge, const judge_group *group) {
    return judge_hot_at(judge, group->role[PSTK_ROLE_VALUE].tag - 1)->stream;
}

/* Samples are missing in between, or nobody listened. */
static bool has_gap(const pstk_judge *judge, const judge_group *group, int64_t after_ns,
                    int64_t before_ns) {
    return group->is_away || judge_gap_between(judge, stream_of(judge, group), after_ns, before_ns);
}

/* ---- counters ------------------------------------------------------------------------------- */

static void counter_input(pstk_judge *judge, judge_group *group, int64_t time_ns, const cut *found,
                          pstk_counter_input *in) {
    const judge_role *value = &group->role[PSTK_ROLE_VALUE], *start = &group->role[PSTK_ROLE_START];
    const pstk_rule *rule = rule_of(judge, group);
    uint8_t tag_type = judge_hot_at(judge, value->tag - 1)->type;
    *in = (pstk_counter_input){.time_ns = time_ns,
                               .boundary_ns = PSTK_TIME_NONE,
                               .is_cut = found->is_cut,
                               .is_adopted = found->is_adopted};
    in->type = tag_type == PSTK_TYPE_F64 ? PSTK_TYPE_F64 : PSTK_TYPE_I64;
    in->has_reading =
        is_new(value, time_ns) && judge_convert(value->type, value->value, in->type, &in->reading);
    in->has_start = start->type && judge_convert(start->type, start->value, in->type, &in->start);
    in->is_start_new = in->has_start && start->time_ns == time_ns;
    bool has_moved = judge_role_is_other(start, group->start_type, group->start_seen);
    in->is_start_usable = in->is_start_new && (found->is_lot || has_moved || !group->is_open);
    in->has_lots = rule->pattern[PSTK_ROLE_LOT][0] || rule->pattern[PSTK_ROLE_ORDER][0];
    in->flags = quality_flags(value, time_ns);
    if (group->is_cut_late && found->is_cut)
        in->flags |= PSTK_FLAG_CUT_LATE;
    if (group->u.counter.is_open) {
        in->has_gap = has_gap(judge, group, group->u.counter.last_ns, time_ns);
        int64_t from_ns = PSTK_MAX(judge_counter_ns(group), group->from_ns);
        in->is_first_at_boundary = found->is_adopted && in->is_start_new &&
                                   boundary_of(rule, from_ns, time_ns, false) == time_ns;
        if (!group->u.counter.is_unstarted)
            in->boundary_ns =
                boundary_of(rule, from_ns, time_ns, found->is_cut || in->is_first_at_boundary);
    }
    if (in->has_reading && group->baseline_type) {
        in->has_baseline =
            judge_convert(group->baseline_type, group->baseline, in->type, &in->baseline);
        in->baseline_ns = group->baseline_ns;
    }
}

/* Used, passed, or of another epoch of the register. Samples from before that document may still
 * come. */
static bool is_baseline_done(const pstk_counter *counter, const pstk_counter_input *in) {
    bool is_reached = in->type == PSTK_TYPE_I64 ? in->reading.i64 >= in->baseline.i64
                                                : in->reading.f64 >= in->baseline.f64;
    return is_reached || in->time_ns >= in->baseline_ns || (counter->flags & PSTK_FLAG_RESET);
}

static void step_counter(pstk_judge *judge, judge_group *group, int64_t time_ns, const cut *found) {
    pstk_counter_input in;
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    counter_input(judge, group, time_ns, found, &in);
    bool was_open = group->u.counter.is_open, was_unstarted = group->u.counter.is_unstarted;
    int64_t was_start_ns = group->u.counter.start_ns;
    size_t count = pstk_counter_step(rule_of(judge, group), &group->u.counter, &in, fact);
    for (size_t k = 0; k < count; k++)
        emit_segment(judge, group, &fact[k]);
    if (!group->u.counter.is_open)
        return;
    bool is_opened = !was_open || was_unstarted || count || found->is_cut ||
                     group->u.counter.start_ns != was_start_ns;
    if (is_opened)
        open_context(judge, group, group->u.counter.start_ns);
    else
        adopt_roles(group);
    if (in.has_baseline && is_baseline_done(&group->u.counter, &in))
        group->baseline_type = 0;
    wake_at_boundary(judge, group, judge_counter_ns(group));
}

/* ---- totals --------------------------------------------------------------------------------- */

static void step_total(pstk_judge *judge, judge_group *group, int64_t time_ns, const cut *found) {
    const judge_role *value = &group->role[PSTK_ROLE_VALUE];
    const pstk_rule *rule = rule_of(judge, group);
    pstk_total *total = &group->u.total;
    pstk_total_input in = {.time_ns = time_ns,
                           .boundary_ns = PSTK_TIME_NONE,
                           .is_cut = found->is_cut,
                           .flags = quality_flags(value, time_ns)};
    if (is_new(value, time_ns)) {
        bool is_f64 = value->type == PSTK_TYPE_F64;
        in.rate = is_f64 ? value->value.f64 : (double)value->value.i64;
        in.is_bad = judge_is_bad(value->quality);
        in.has_rate = !in.is_bad;
    }
    if (group->is_cut_late && found->is_cut)
        in.flags |= PSTK_FLAG_CUT_LATE;
    if (total->is_open) {
        in.has_gap = has_gap(judge, group, total->last_ns, time_ns);
        if (!total->is_unstarted)
            in.boundary_ns = boundary_of(rule, PSTK_MAX(judge_total_ns(group), group->from_ns),
                                         time_ns, found->is_cut);
    }
    bool was_open = total->is_open && !total->is_unstarted;
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    size_t count = pstk_total_step(rule, total, &in, fact);
    for (size_t k = 0; k < count; k++)
        emit_segment(judge, group, &fact[k]);
    if (!total->is_open)
        return;
    if (!was_open || count)
        open_context(judge, group, total->start_ns);
    else
        adopt_roles(group);
    wake_at_boundary(judge, group, judge_total_ns(group));
}

/* ---- states --------------------------------------------------------------------------------- */

static bool is_listed(const pstk_judge *judge, const pstk_rule *rule, const judge_role *value,
                      int64_t code) {
    const char *text = NULL;
    if (rule->is_any_state)
        return true;
    if (value->type == PSTK_TYPE_CODE)
        text = pstk_tags_code_text(judge->tags, value->tag - 1, code);
    for (uint32_t k = 0; k < PSTK_MIN(rule->state_count, PSTK_STATES_MAX); k++) {
        bool is_text = rule->state_text[k][0];
        if (is_text && text && strncmp(rule->state_text[k], text, sizeof rule->state_text[k]) == 0)
            return true;
        if (!is_text && value->type != PSTK_TYPE_CODE && rule->state_code[k] == code)
            return true;
    }
    return false;
}

/* What began at the same stamp before: the machine may say one twice. */
static uint32_t count_enter(judge_group *group, const pstk_event *event) {
    bool is_again =
        group->u.state.enter_ns == event->at_ns && group->u.state.enter_epoch == event->time_epoch;
    group->u.state.enter_occurrence = is_again ? group->u.state.enter_occurrence + 1 : 0;
    group->u.state.enter_ns = event->at_ns;
    group->u.state.enter_epoch = event->time_epoch;
    return group->u.state.enter_occurrence;
}

static void emit_state(pstk_judge *judge, judge_group *group, pstk_event_kind kind,
                       const pstk_state_fact *fact) {
    pstk_event *event = judge_event_begin(judge, group->instance, kind, fact->start_ns);
    event->end_ns = fact->end_ns;
    event->value.i64 = fact->code;
    event->count = fact->count;
    event->flags = fact->flags;
    if (event->value_type != PSTK_TYPE_CODE || kind == PSTK_EVENT_STATE_MICRO)
        event->value_type = PSTK_TYPE_I64;
    if (kind == PSTK_EVENT_STATE_ENTER)
        event->occurrence = count_enter(group, event);
    if (kind == PSTK_EVENT_STATE_MICRO) /* of many states: the asset's, as of the interval */
        judge_context_fill(judge, event->asset,
                           judge_context_at(judge, event->asset, event->start_ns, &event->context),
                           event->end_ns - 1, &event->context);
    else
        fill_context(judge, group, false, event);
    judge_event_commit(judge, group->instance, event);
}

/* An interval of micro-stops whose end has passed. */
static void tell_micro(pstk_judge *judge, judge_group *group, uint32_t flags) {
    pstk_state_fact fact;
    pstk_micro_take(&group->u.state.micro, &fact);
    fact.flags |= flags;
    emit_state(judge, group, PSTK_EVENT_STATE_MICRO, &fact);
}

static void fold_micro(pstk_judge *judge, judge_group *group, const pstk_state_fact *stop,
                       int64_t time_ns) {
    pstk_micro_fold *fold = &group->u.state.micro;
    if (pstk_micro_add(rule_of(judge, group), fold, stop, time_ns)) {
        tell_micro(judge, group, 0);
        (void)pstk_micro_add(rule_of(judge, group), fold, stop, time_ns);
    }
}

static void end_state(pstk_judge *judge, judge_group *group, const pstk_state_fact *fact,
                      int64_t time_ns) {
    uint8_t micro = fact->is_micro ? rule_of(judge, group)->micro : PSTK_MICRO_FLAG;
    if (micro == PSTK_MICRO_FOLD)
        fold_micro(judge, group, fact, time_ns);
    else if (micro == PSTK_MICRO_DROP)
        JUDGE_COUNT(judge->head.counters.micro_dropped, 1);
    else
        emit_state(judge, group, PSTK_EVENT_STATE_END, fact);
}

static bool state_input(pstk_judge *judge, judge_group *group, int64_t time_ns,
                        pstk_state_input *in) {
    const judge_role *value = &group->role[PSTK_ROLE_VALUE], *since = &group->role[PSTK_ROLE_SINCE];
    const pstk_rule *rule = rule_of(judge, group);
    const pstk_state_run *run = &group->u.state.run;
    uint8_t whole = value->type == PSTK_TYPE_CODE ? PSTK_TYPE_CODE : PSTK_TYPE_I64;
    pstk_value code, at;
    *in = (pstk_state_input){.time_ns = time_ns, .flags = quality_flags(value, time_ns)};
    if (!is_new(value, time_ns) || !judge_convert(value->type, value->value, whole, &code))
        return false;
    in->code = code.i64;
    in->is_listed = is_listed(judge, rule, value, in->code);
    if (is_new(since, time_ns) && judge_convert(since->type, since->value, PSTK_TYPE_I64, &at))
        in->has_since = !__builtin_mul_overflow(at.i64, rule->since_unit_ns, &in->since_ns) &&
                        in->since_ns < PSTK_RULE_TIME_MAX && in->since_ns > -PSTK_RULE_TIME_MAX;
    if (run->is_open)
        in->has_gap = has_gap(judge, group, run->last_ns, time_ns);
    return true;
}

static void step_state(pstk_judge *judge, judge_group *group, int64_t time_ns) {
    pstk_state_run *run = &group->u.state.run;
    pstk_state_input in;
    if (group->u.state.micro.count && time_ns >= group->u.state.micro.end_ns)
        tell_micro(judge, group, 0);
    adopt_roles(group);
    if (!state_input(judge, group, time_ns, &in))
        return;
    pstk_state_run was = *run;
    pstk_state_fact fact[PSTK_STATE_FACTS_MAX];
    size_t count = pstk_state_step(rule_of(judge, group), run, &in, fact), k = 0;
    if (count && !fact[0].is_enter)
        end_state(judge, group, &fact[k++], time_ns);
    if (!was.is_open || run->code != was.code || run->since_ns != was.since_ns)
        open_context(judge, group, run->since_ns);
    if (k < count)
        emit_state(judge, group, PSTK_EVENT_STATE_ENTER, &fact[k]);
    if (group->u.state.micro.count)
        judge_group_wake(judge, group, group->u.state.micro.end_ns);
}

/* ---- one instant of one instance ------------------------------------------------------------ */

void judge_group_step(pstk_judge *judge, uint32_t index, int64_t time_ns) {
    judge_group *group = judge_group_at(judge, index);
    const judge_instance *instance = judge_instance_raw(judge, group->instance);
    if (!instance->rule || !group->role[PSTK_ROLE_VALUE].tag)
        return;
    time_ns = group->last_ns = PSTK_MAX(time_ns, group->last_ns);
    const judge_role *value = &group->role[PSTK_ROLE_VALUE];
    if (is_new(value, time_ns) && judge_group_is_on(judge, group, value)) {
        group->is_cut_late = 0;
        return;
    }
    cut found = find_cut(judge, group, time_ns);
    if (instance->kind == PSTK_RULE_COUNTER)
        step_counter(judge, group, time_ns, &found);
    else if (instance->kind == PSTK_RULE_TOTAL)
        step_total(judge, group, time_ns, &found);
    else
        step_state(judge, group, time_ns);
    group->is_cut_late = 0;
    if (is_new(&group->role[PSTK_ROLE_VALUE], time_ns))
        group->is_away = 0;
}

void judge_group_pass(pstk_judge *judge, judge_group *group, int64_t time_ns) {
    const cut none = {0};
    if (judge_instance_raw(judge, group->instance)->kind == PSTK_RULE_COUNTER)
        step_counter(judge, group, time_ns, &none);
    else
        step_total(judge, group, time_ns, &none);
}

static void finish_state(pstk_judge *judge, judge_group *group, uint32_t flags) {
    pstk_state_fact fact;
    if (pstk_state_finish(rule_of(judge, group), &group->u.state.run, flags, &fact))
        emit_state(judge, group, PSTK_EVENT_STATE_END, &fact);
    if (group->u.state.micro.count)
        tell_micro(judge, group, flags);
}

/* What is open ends at its newest instant; registers carry on from there. */
static void finish(pstk_judge *judge, judge_group *group, uint32_t flags) {
    uint8_t kind = judge_instance_at(judge, group->instance)->kind;
    pstk_segment_fact segment;
    if (kind == PSTK_RULE_COUNTER && pstk_counter_finish(&group->u.counter, flags, &segment))
        emit_segment(judge, group, &segment);
    else if (kind == PSTK_RULE_TOTAL && pstk_total_finish(&group->u.total, flags, &segment))
        emit_segment(judge, group, &segment);
    else if (kind == PSTK_RULE_STATE)
        finish_state(judge, group, flags);
}

void judge_group_finish(pstk_judge *judge, uint32_t index) {
    finish(judge, judge_group_at(judge, index), 0);
}

void judge_group_regress(pstk_judge *judge, uint32_t index) {
    judge_group *group = judge_group_at(judge, index);
    finish(judge, group, PSTK_FLAG_CLOCK_REGRESS);
    if (judge_instance_at(judge, group->instance)->kind == PSTK_RULE_STATE)
        pstk_micro_init(&group->u.state.micro);
    group->last_ns = group->from_ns = INT64_MIN;
    group->wake_ns = PSTK_TIME_NONE;
    group->baseline_type = 0;
    for (uint32_t r = 0; r < PSTK_ROLE_COUNT; r++)
        group->role[r].time_ns = PSTK_TIME_NONE;
}
