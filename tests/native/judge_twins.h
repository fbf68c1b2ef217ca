/* judge_twins: two judges that went through the same blocks, one of them the plain way, hold the
 * same bytes and say the same. Left out is how nodes hang in their heap, for any shape lets them
 * out in one order, and how many events wait: a way that asks for room more often is drained more
 * often. */
#ifndef PSTK_JUDGE_TWINS_H
#define PSTK_JUDGE_TWINS_H

#include "judge_random.h"

#include "engine_judge_state.h"

/* Nodes that hang nowhere, instances without the list that they were touched in last. */
static inline void jt_flatten(pstk_section *section, uint8_t *bytes) {
    judge_node *node = (judge_node *)(void *)bytes;
    judge_instance *instance = (judge_instance *)(void *)bytes;
    if (section->tag == JUDGE_SECTION_ARENA(JUDGE_NODE))
        for (uint64_t k = 0; k < section->size / sizeof *node; k++)
            node[k].left = node[k].right = 0;
    if (section->tag == JUDGE_SECTION_ARENA(JUDGE_INSTANCE))
        for (uint64_t k = 0; k < section->size / sizeof *instance; k++)
            instance[k].touched_next = 0;
}

static inline bool jt_same_section(const pstk_section *a, const pstk_section *b) {
    if (a->tag == b->tag && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0)
        return true;
    uint64_t at = 0;
    while (at < PSTK_MIN(a->size, b->size) &&
           ((const uint8_t *)a->bytes)[at] == ((const uint8_t *)b->bytes)[at])
        at++;
    fprintf(stderr, "section %x differs at byte %llu\n", a->tag, (unsigned long long)at);
    return false;
}

static inline bool jt_same_images(pstk_judge *one, pstk_judge *other) {
    pstk_image a = jj_image(one), b = jj_image(other);
    bool is_same = a.head.section_count == b.head.section_count;
    for (size_t k = 0; k < a.head.section_count && is_same; k++) {
        jt_flatten(&a.section[k], (uint8_t *)a.section[k].bytes);
        jt_flatten(&b.section[k], (uint8_t *)b.section[k].bytes);
        is_same = a.section[k].tag == PSTK_SECTION_PENDING ||
                  jt_same_section(&a.section[k], &b.section[k]);
    }
    free(a.buffer);
    free(b.buffer);
    return is_same;
}

/* Also in order: here not only the one promised per (rule, tag). */
static inline bool jt_same_outputs(const jj_out *a, const jj_out *b) {
    if (a->count != b->count || a->result_count != b->result_count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(&a->event[i], &b->event[i], sizeof *a->event) != 0)
            return false;
    for (size_t i = 0; i < a->result_count; i++)
        if (memcmp(&a->result[i], &b->result[i], sizeof *a->result) != 0 ||
            memcmp(&a->more[i], &b->more[i], sizeof *a->more) != 0)
            return false;
    return true;
}

#endif
