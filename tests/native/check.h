/* check: the whole test harness. A test is a program; CHECK prints place and text, main returns
 * check_result(). */
#ifndef PSTK_CHECK_H
#define PSTK_CHECK_H

#include <stdio.h>
#include <stdlib.h>

static _Atomic int check_count; /* any thread may check */
static _Atomic int check_failed;

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(x)) {                                                                                \
            check_failed++;                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);                      \
        }                                                                                          \
    } while (0)

/* Goes no further: what follows would read what is not there. */
#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #x);                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline int check_result(const char *name) {
    if (check_count == 0) {
        fprintf(stderr, "%s: asserts nothing\n", name);
        return 1;
    }
    printf("%s: %d checks, %d failed\n", name, check_count, check_failed);
    return check_failed ? 1 : 0;
}

#endif
