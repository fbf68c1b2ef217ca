/* judge window, cut: another lot or order ends what is open.
 * A tag that names the lot or order is heard in order of time, before the samples of its instant. A
 * context is told from outside: a node in the heap of the window's clock wakes it, as does a tag of
 * another clock. What becomes known for the first time is no change. */
#include "engine_judge_state.h"

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_wide *at) {
    return judge_rule_of(judge, judge_instance_raw(judge, at->instance));
}

static uint32_t clock_of(const pstk_judge *judge, const judge_wide *at) {
    return judge_hot_raw(judge, at->tag)->clock;
}

/* Into the heap of the window's clock; behind its watermark it cuts late. */
static void push(pstk_judge *judge, const judge_wide *at, judge_node node) {
    uint32_t clock = clock_of(judge, at);
    int64_t watermark_ns = judge_clock_raw(judge, clock)->watermark_ns;
    node.instance = at->instance;
    if (node.time_ns < watermark_ns) {
        node.time_ns = watermark_ns;
        node.quality = 1; /* late */
    }
    if (!judge_heap_push(judge, clock, &node))
        JUDGE_COUNT(judge->head.counters.reorder_overflow, 1);
}

/* ---- tags ----------------------------------------------------------------------------------- */

void judge_wide_hear(pstk_judge *judge, uint32_t tag) {
    judge_latch_open(judge, tag);
    judge_hot_at(judge, tag)->slow |= JUDGE_SLOW_EVENT;
}

judge_cut_role judge_wide_role_of(const pstk_judge *judge, uint32_t tag) {
    const judge_latch *latch = judge_latch_raw(judge, judge->suppression.latch_of[tag]);
    judge_cut_role role = {.tag = tag + 1};
    if (latch->has_event) { /* item 0 has none */
        role.value = latch->event;
        role.type = judge_hot_raw(judge, tag)->type;
    }
    return role;
}

static bool is_cut_by(const pstk_judge *judge, const judge_wide *at, uint32_t role_index,
                      pstk_value value) {
    bool is_lot = role_index == PSTK_ROLE_LOT;
    const judge_cut_role *role = is_lot ? &at->lot : &at->order;
    uint32_t bit = is_lot ? PSTK_CUT_LOT_TAG : PSTK_CUT_ORDER_TAG;
    return role->type && role->value.bits != value.bits && (rule_of(judge, at)->cut_on & bit);
}

/* What else of this instant ends windows: they end before something becomes known for the first
 * time, and do not bear it. */
static bool end_before(pstk_judge *judge, uint32_t index, uint32_t role_index, int64_t time_ns) {
    const judge_wide *at = judge_wide_raw(judge, index);
    bool is_lot = role_index == PSTK_ROLE_LOT, is_sample = false, is_cut = false;
    uint32_t other = is_lot ? PSTK_ROLE_ORDER : PSTK_ROLE_LOT;
    uint32_t other_tag = is_lot ? at->order.tag : at->lot.tag;
    for (uint32_t i = judge->held; i; i = judge_node_raw(judge, i)->right) {
        const judge_node *node = judge_node_raw(judge, i);
        if (node->instance || judge_is_bad(node->quality))
            continue;
        is_sample = is_sample || node->tag == at->tag;
        is_cut = is_cut || (node->tag + 1 == other_tag &&
                            is_cut_by(judge, at, other, judge_wide_told_last(judge, node)));
    }
    if (is_cut)
        return judge_wide_cut(judge, index, time_ns, 0);
    return judge_wide_reach(judge, index, time_ns, is_sample);
}

static void role_learns(pstk_judge *judge, uint32_t index, uint32_t role_index, pstk_value value) {
    judge_wide *at = judge_wide_at(judge, index);
    judge_cut_role *role = role_index == PSTK_ROLE_LOT ? &at->lot : &at->order;
    if (!role->tag)
        return;
    role->value = value;
    role->type = judge_hot_raw(judge, role->tag - 1)->type;
}

static bool role_takes(pstk_judge *judge, uint32_t index, uint32_t role_index,
                       const judge_node *node, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    judge_cut_role *role = role_index == PSTK_ROLE_LOT ? &at->lot : &at->order;
    if (!role->tag)
        return true;
    if (is_cut_by(judge, at, role_index, node->value) &&
        !judge_wide_cut(judge, index, node->time_ns, flags))
        return false;
    if (!role->type && !end_before(judge, index, role_index, node->time_ns))
        return false;
    role_learns(judge, index, role_index, node->value);
    return true;
}

bool judge_wide_cut_by(pstk_judge *judge, uint32_t index, uint32_t role, const judge_node *sample) {
    const judge_wide *at = judge_wide_raw(judge, index);
    if (judge_is_bad(sample->quality))
        return true;
    if (judge_hot_raw(judge, sample->tag)->clock == clock_of(judge, at))
        return role_takes(judge, index, role, sample, 0);
    if (!judge_hot_raw(judge, at->tag)->stream) { /* no value has come: nobody knows its clock */
        role_learns(judge, index, role, sample->value);
        return true;
    }
    judge_node node = {.role = (uint8_t)role, .time_ns = sample->time_ns, .value = sample->value};
    push(judge, at, node);
    return true;
}

/* What it ran under: of a change that was told late the old one. */
void judge_wide_roles(const pstk_judge *judge, const judge_wide *at, pstk_event *event) {
    uint8_t cut_on = rule_of(judge, at)->cut_on;
    if ((cut_on & PSTK_CUT_CONTEXT_LOT) && at->context_lot[0])
        memcpy(event->context.lot, at->context_lot, sizeof event->context.lot);
    if ((cut_on & PSTK_CUT_CONTEXT_ORDER) && at->context_order[0])
        memcpy(event->context.order, at->context_order, sizeof event->context.order);
    if (at->lot.type)
        judge_role_text(judge, at->lot.tag, (uint8_t)at->lot.type, at->lot.value,
                        event->context.lot);
    if (at->order.type)
        judge_role_text(judge, at->order.tag, (uint8_t)at->order.type, at->order.value,
                        event->context.order);
}

/* ---- context -------------------------------------------------------------------------------- */

static bool is_changed(const char *was, const char *is) {
    return was[0] && strncmp(was, is, PSTK_CONTEXT_BYTES) != 0;
}

static bool context_takes(pstk_judge *judge, uint32_t index, int64_t at_ns, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    uint8_t cut_on = rule_of(judge, at)->cut_on;
    uint32_t asset = judge_instance_raw(judge, at->instance)->asset;
    pstk_context_values values;
    (void)judge_context_at(judge, asset, at_ns, &values);
    bool is_cut =
        ((cut_on & PSTK_CUT_CONTEXT_ORDER) && is_changed(at->context_order, values.order)) ||
        ((cut_on & PSTK_CUT_CONTEXT_LOT) && is_changed(at->context_lot, values.lot));
    if (at->has_context && is_cut && !judge_wide_cut(judge, index, at_ns, flags))
        return false;
    memcpy(at->context_order, values.order, sizeof at->context_order);
    memcpy(at->context_lot, values.lot, sizeof at->context_lot);
    at->has_context = 1;
    return true;
}

void judge_wide_begin(pstk_judge *judge, uint32_t index, int64_t time_ns) {
    const judge_wide *at = judge_wide_raw(judge, index);
    if (!at->has_context && rule_of(judge, at)->cut_on)
        (void)context_takes(judge, index, time_ns, 0);
}

bool judge_wide_cut_woken(pstk_judge *judge, const judge_node *node) {
    const judge_instance *instance = judge_instance_raw(judge, node->instance);
    uint32_t flags = node->quality ? PSTK_FLAG_CUT_LATE : 0;
    if (!instance->rule || !instance->is_wide)
        return true;
    if (node->role)
        return role_takes(judge, instance->state, node->role, node, flags);
    return context_takes(judge, instance->state, node->time_ns, flags);
}

void judge_wide_wake(pstk_judge *judge, uint32_t instance, int64_t at_ns) {
    const judge_wide *at = judge_wide_raw(judge, judge_instance_raw(judge, instance)->state);
    push(judge, at, (judge_node){.time_ns = at_ns});
}

void judge_wide_wake_known(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    const judge_wide *at = judge_wide_raw(judge, instance->state);
    const judge_asset *asset = judge_asset_raw(judge, instance->asset);
    int64_t watermark_ns = judge_clock_raw(judge, clock_of(judge, at))->watermark_ns;
    uint8_t cut_on = rule_of(judge, at)->cut_on & (PSTK_CUT_CONTEXT_ORDER | PSTK_CUT_CONTEXT_LOT);
    for (uint32_t k = 0; cut_on && k < asset->count; k++)
        if (asset->version[k].from_ns > watermark_ns)
            judge_wide_wake(judge, index, asset->version[k].from_ns);
}
