/* write_columns: the plan as columns in files: tag.u32, time.i64 (ns), value.f64.
 *
 *   write_columns FOLDER ROWS [tags=1000] */
#include "child.h"
#include "plan.h"

static FILE *create(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        child_die("cannot create %s", path);
    return file;
}

int main(int argc, char **argv) {
    if (argc < 3)
        child_die("usage: write_columns FOLDER ROWS [tags=1000]");
    FILE *tags = create(argv[1], "tag.u32"), *times = create(argv[1], "time.i64"),
         *values = create(argv[1], "value.f64");
    plan of = PLAN_DEFAULT;
    of.tags = (uint32_t)child_option(argv, "tags", PLAN_TAGS);
    uint64_t rows = child_number(argv[2]), written = 0;
    for (uint64_t i = 0; i < rows; i++) {
        plan_sample sample = plan_sample_at(&of, i);
        double value = (double)sample.units / PLAN_UNIT;
        written += fwrite(&sample.tag, 4, 1, tags) + fwrite(&sample.time_ns, 8, 1, times) +
                   fwrite(&value, 8, 1, values);
    }
    if (written != rows * 3 || fclose(tags) || fclose(times) || fclose(values))
        child_die("cannot write the columns in %s", argv[1]);
    child_say("written");
    return 0;
}
