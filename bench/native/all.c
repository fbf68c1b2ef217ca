/* all: every program of the bench in one file, for the wheel: the name it is called by says which
 * one it is. Alone it prints the names. */
#include <stdio.h>
#include <string.h>

#define PROGRAM(name) int name##_main(int argc, char **argv);
BENCH_PROGRAMS
#undef PROGRAM

typedef struct program {
    const char *name;
    int (*run)(int argc, char **argv);
} program;

static const program programs[] = {
#define PROGRAM(name) {#name, name##_main},
    BENCH_PROGRAMS
#undef PROGRAM
};
#define PROGRAM_COUNT (sizeof programs / sizeof programs[0])

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/'), *called = slash ? slash + 1 : argv[0];
    for (size_t i = 0; i < PROGRAM_COUNT; i++)
        if (strcmp(called, programs[i].name) == 0)
            return programs[i].run(argc, argv);
    for (size_t i = 0; i < PROGRAM_COUNT; i++)
        puts(programs[i].name);
    return 0;
}
