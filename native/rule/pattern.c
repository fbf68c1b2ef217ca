/* pattern: a tag name against a pattern with at most one '*'. */
#include "rule.h"

bool pstk_pattern_has_star(const char *pattern) { return strchr(pattern, '*') != NULL; }

bool pstk_pattern_match(const char *pattern, const char *name, size_t name_bytes,
                        const char **out_capture, size_t *out_capture_bytes) {
    const char *star = strchr(pattern, '*');
    *out_capture = name;
    *out_capture_bytes = 0;
    if (!star)
        return pattern[0] && strlen(pattern) == name_bytes &&
               memcmp(pattern, name, name_bytes) == 0;
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1);
    if (name_bytes < head + tail || memcmp(pattern, name, head) != 0 ||
        memcmp(star + 1, name + name_bytes - tail, tail) != 0)
        return false;
    *out_capture = name + head;
    *out_capture_bytes = name_bytes - head - tail;
    return true;
}

bool pstk_pattern_fill(const char *pattern, const char *capture, size_t capture_bytes, char *out,
                       size_t capacity) {
    const char *star = strchr(pattern, '*');
    if (!star)
        return pstk_copy_text(out, capacity, pattern, strlen(pattern));
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1);
    if (head + capture_bytes + tail >= capacity)
        return false;
    memset(out, 0, capacity);
    memcpy(out, pattern, head);
    memcpy(out + head, capture, capture_bytes);
    memcpy(out + head + capture_bytes, star + 1, tail);
    return true;
}
