/* child: how a bench program talks to the harness: lines on standard input and output.
 * A sender prints "port P opening B" (bytes before its first
 * message, where that is fixed) and obeys "send N", "tail" and end of input, where it prints
 * "expected {...}". A receiver prints "warm" after the warm-up and "measured {...}" after the
 * messages that count; the harness tells the sender to go on in between, so that the CPU figure
 * spans exactly those messages. What differs from the usual is said in words like tags=100000. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void child_die(const char *form,
                                                                             ...) {
    va_list arguments;
    va_start(arguments, form);
    vfprintf(stderr, form, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static inline void child_say(const char *text) {
    puts(text);
    fflush(stdout);
}

/* User and system time of this process, all its threads. */
static inline int64_t child_cpu_ns(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return ((int64_t)used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
}

static inline int64_t child_wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

typedef struct child_span {
    int64_t cpu_ns, wall_ns;
} child_span;

static inline child_span child_begin(void) {
    return (child_span){.cpu_ns = child_cpu_ns(), .wall_ns = child_wall_ns()};
}

static inline void child_measured(child_span begin, uint64_t count) {
    int64_t cpu_ns = child_cpu_ns() - begin.cpu_ns, wall_ns = child_wall_ns() - begin.wall_ns;
    printf("measured {\"count\": %llu, \"cpu_ns\": %lld, \"wall_ns\": %lld}\n",
           (unsigned long long)count, (long long)cpu_ns, (long long)wall_ns);
    fflush(stdout);
}

static inline int64_t child_real_ns(void) { /* the clock of stamps */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline uint64_t child_number(const char *text) { return strtoull(text, NULL, 10); }

/* What stands behind NAME= among the arguments; usual where it does not stand there. */
static inline const char *child_text(char **argv, const char *name, const char *usual) {
    size_t size = strlen(name);
    for (char **word = argv + 1; *word; word++)
        if (strncmp(*word, name, size) == 0 && (*word)[size] == '=')
            return *word + size + 1;
    return usual;
}

static inline uint64_t child_option(char **argv, const char *name, uint64_t usual) {
    const char *text = child_text(argv, name, NULL);
    return text ? child_number(text) : usual;
}

/* Resident memory that is neither the ring's nor a program's text, in bytes. The page tables are
 * asked: the counters of /proc/self/status are kept by processor and may lag by tens of pages. */
static inline uint64_t child_memory_bytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    unsigned long long kib, sum = 0;
    char line[256];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Anonymous: %llu", &kib) == 1)
            sum += kib;
    if (!file || !sum)
        child_die("/proc/self/smaps_rollup does not tell how much memory is used");
    fclose(file);
    return sum * 1024;
}

/* A receiver that counts message by message: to be called with the number received so far. */
typedef struct child_counter {
    uint64_t warm, count;
    child_span begin;
} child_counter;

/* True once all have come. */
static inline int child_counted(child_counter *counter, uint64_t received) {
    if (received == counter->warm) {
        counter->begin = child_begin();
        child_say("warm");
    }
    if (received < counter->warm + counter->count)
        return 0;
    child_measured(counter->begin, counter->count);
    return 1;
}

#endif
