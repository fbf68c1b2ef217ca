/* replay: a fuzz target as a plain program, so that every build and every sanitizer runs what the
 * fuzzers once needed. Arguments: folders of a seed corpus. Each seed is given whole, then cut
 * short at each length (at most CUTS_MAX, evenly), in a buffer of exactly its size: a read behind
 * it is an error. Fails when a target aborts, and when a folder holds no seed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_BYTES_MAX 65536u
#define CUTS_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t runs;

static void run(const uint8_t *bytes, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    runs++;
}

/* The name goes out first: who aborts says nothing any more. */
static int replay_seed(const char *path) {
    static uint8_t bytes[SEED_BYTES_MAX + 1];
    printf("%s\n", path);
    fflush(stdout);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fprintf(stderr, "replay: %s is not read\n", path);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    int failed = ferror(file);
    fclose(file);
    if (failed || size > SEED_BYTES_MAX)
        return fprintf(stderr, "replay: %s is not read, or larger than 64 KiB\n", path);
    run(bytes, size);
    size_t step = 1 + size / CUTS_MAX;
    for (size_t cut = 0; cut < size; cut += step)
        run(bytes, cut);
    return 0;
}

static int replay_folder(const char *folder) {
    struct dirent **entry;
    int count = scandir(folder, &entry, NULL, alphasort), seeds = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        char path[4096];
        if (entry[i]->d_name[0] != '.' && !failed) {
            snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
            failed = replay_seed(path);
            seeds++;
        }
        free(entry[i]);
    }
    if (count >= 0)
        free(entry);
    if (!failed && seeds == 0)
        failed = fprintf(stderr, "replay: no seed in %s\n", folder);
    return failed;
}

int main(int count, char **words) {
    for (int i = 1; i < count; i++)
        if (replay_folder(words[i]) != 0)
            return 1;
    printf("replay: %llu runs\n", (unsigned long long)runs);
    return runs ? 0 : 1;
}
