/* State directory: one owner at a time, and a header that says whose it is and which journal it
 * goes with. */
#include "test_ring.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

static char state_dir[128];

static pstk_state *open_state(const char *plant, bool *out_is_new) {
    pstk_state *state = NULL;
    pstk_error err;
    int status = pstk_state_open(state_dir, plant, &state, out_is_new, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "open: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return state;
}

static int refused(const char *plant, pstk_error *out_err) {
    pstk_state *state = NULL;
    bool is_new;
    memset(out_err, 0, sizeof *out_err);
    int status = pstk_state_open(state_dir, plant, &state, &is_new, out_err);
    CHECK(state == NULL);
    pstk_state_close(state);
    return status;
}

static size_t read_state(char *out, size_t capacity) {
    char path[256];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/STATE", state_dir);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && pstk_io_read(fd, out, capacity, &size) == 0);
    close(fd);
    return size;
}

static void write_state(const char *text, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/STATE", state_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && pstk_io_write(fd, text, size) == 0);
    close(fd);
}

static void test_the_journal_id_is_kept(void) {
    bool is_new = false;
    uint8_t id[16], other[16];
    pstk_error err;
    pstk_state *state = open_state("Werk S\xc3\xbc"
                                   "d 1",
                                   &is_new);
    CHECK(is_new && strcmp(pstk_state_folder(state), state_dir) == 0);
    memcpy(id, pstk_state_journal_id(state), 16);
    pstk_state_close(state);
    state = open_state("Werk S\xc3\xbc"
                       "d 1",
                       &is_new);
    CHECK(!is_new && memcmp(id, pstk_state_journal_id(state), 16) == 0);
    CHECK(pstk_state_new_journal(state, &err) == PSTK_OK);
    memcpy(other, pstk_state_journal_id(state), 16);
    CHECK(memcmp(id, other, 16) != 0);
    pstk_state_close(state);
    state = open_state("Werk S\xc3\xbc"
                       "d 1",
                       &is_new);
    CHECK(!is_new && memcmp(other, pstk_state_journal_id(state), 16) == 0);
    pstk_state_close(state);
    struct stat info;
    REQUIRE(stat(state_dir, &info) == 0);
    CHECK((info.st_mode & 07777) == 0700);
}

static void test_other_headers_are_refused_by_name(void) {
    char text[512], spoiled[512];
    pstk_error err;
    CHECK(refused("elsewhere", &err) == PSTK_E_STATE);
    CHECK(strstr(err.text, "elsewhere") && strstr(err.text, "Werk S\xc3\xbc"
                                                            "d 1"));
    size_t size = read_state(text, sizeof text - 1);
    for (size_t bit = 0; bit < size * 8; bit++) {
        memcpy(spoiled, text, size);
        spoiled[bit / 8] = (char)(spoiled[bit / 8] ^ (1 << (bit % 8)));
        write_state(spoiled, size);
        CHECK(refused("Werk S\xc3\xbc"
                      "d 1",
                      &err) == PSTK_E_STATE &&
              strstr(err.text, "STATE") != NULL);
    }
    for (size_t cut = 0; cut < size; cut++) {
        write_state(text, cut);
        CHECK(refused("Werk S\xc3\xbc"
                      "d 1",
                      &err) == PSTK_E_STATE);
    }
    memset(spoiled, 'x', sizeof spoiled);
    write_state(spoiled, sizeof spoiled);
    CHECK(refused("Werk S\xc3\xbc"
                  "d 1",
                  &err) == PSTK_E_STATE);
    write_state("penstock-state 2\nanything\n", 26);
    CHECK(refused("Werk S\xc3\xbc"
                  "d 1",
                  &err) == PSTK_E_STATE &&
          strstr(err.text, "version 2") != NULL);
    write_state(text, size);
    bool is_new = true;
    pstk_state_close(open_state("Werk S\xc3\xbc"
                                "d 1",
                                &is_new));
    CHECK(!is_new);
}

static void put_file(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", state_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    close(fd);
}

static int file_count(void) {
    int count = 0;
    DIR *folder = opendir(state_dir);
    REQUIRE(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    return count;
}

/* Somebody's home, a data folder, a mistyped path: nothing is written into it. */
static void test_a_directory_of_somebody_else_is_left_alone(void) {
    static const char *const foreign[] = {"report.xls", ".bashrc", "State", "images", "\x1b[2J"};
    static const char *const ours[] = {"lock",     "STATE.tmp",     "image.A",      "image.tmp",
                                       "captures", "ledger.sqlite", "control.sock", "lost+found"};
    bool is_new = false;
    pstk_error err;
    REQUIRE(mkdir(state_dir, 0755) == 0);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        put_file(ours[i]);
    int count = file_count();
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char path[256], named[64];
        put_file(foreign[i]);
        CHECK(refused("p", &err) == PSTK_E_STATE && strstr(err.text, state_dir));
        snprintf(named, sizeof named, "holds '%s' and",
                 foreign[i][0] == 0x1b ? "?[2J" : foreign[i]);
        CHECK(strstr(err.text, named) && strstr(err.text, "set state_dir"));
        CHECK(file_count() == count + 1);
        snprintf(path, sizeof path, "%s/%s", state_dir, foreign[i]);
        REQUIRE(unlink(path) == 0);
    }
    pstk_state_close(open_state("p", &is_new));
    CHECK(is_new);
    put_file("report.xls"); /* it is ours by its STATE, whatever a person lays beside that */
    pstk_state_close(open_state("p", &is_new));
    CHECK(!is_new);
}

static void remove_file(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", state_dir, name);
    REQUIRE(unlink(path) == 0);
}

/* `penstock run 2> state/run.log`: the log is there before the first start. Another program's are
 * many, or no plain files, or lie beside what is no log. */
static void test_a_log_of_the_first_start_stops_nothing(void) {
    static const char *const foreign[] = {".log", "run.logs", "catalog", "log"};
    static const char *const logs[] = {"run.log", "run.log.1", "b.log", "c.log",
                                       "d.log",   "e.log",     "f.log", "g.log.gz"};
    bool is_new = false;
    pstk_error err;
    REQUIRE(mkdir(state_dir, 0755) == 0);
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++)
        put_file(logs[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        put_file(foreign[i]);
        CHECK(refused("p", &err) == PSTK_E_STATE && strstr(err.text, foreign[i]));
        remove_file(foreign[i]);
    }
    put_file("ninth.log");
    CHECK(refused("p", &err) == PSTK_E_STATE && strstr(err.text, "set state_dir"));
    CHECK(file_count() == 9);
    remove_file("ninth.log");
    char link_path[256];
    snprintf(link_path, sizeof link_path, "%s/link.log", state_dir);
    remove_file("run.log");
    REQUIRE(symlink("/dev/null", link_path) == 0);
    CHECK(refused("p", &err) == PSTK_E_STATE && strstr(err.text, "link.log"));
    remove_file("link.log");
    pstk_state_close(open_state("p", &is_new));
    CHECK(is_new);
}

/* Its own output is known by what it is, not by its name. */
static void test_the_file_of_our_own_output_stops_nothing(void) {
    char path[256];
    bool is_new = false;
    pstk_error err;
    REQUIRE(mkdir(state_dir, 0755) == 0);
    snprintf(path, sizeof path, "%s/said", state_dir);
    fflush(stderr);
    int kept = dup(STDERR_FILENO), said = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(kept >= 0 && said >= 0);
    CHECK(refused("p", &err) == PSTK_E_STATE && strstr(err.text, "'said'"));
    REQUIRE(dup2(said, STDERR_FILENO) >= 0);
    pstk_state_close(open_state("p", &is_new));
    REQUIRE(dup2(kept, STDERR_FILENO) >= 0);
    close(said);
    close(kept);
    CHECK(is_new);
}

static void test_arguments(void) {
    pstk_error err;
    pstk_state *state = NULL;
    bool is_new;
    char long_path[600];
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    CHECK(refused("", &err) == PSTK_E_ARGUMENT && refused("two\nlines", &err) == PSTK_E_ARGUMENT);
    CHECK(refused("\xff", &err) == PSTK_E_ARGUMENT);
    long_path[64] = 0;
    CHECK(refused(long_path, &err) == PSTK_E_ARGUMENT);
    long_path[64] = 'a';
    CHECK(pstk_state_open(long_path, "p", &state, &is_new, &err) == PSTK_E_ARGUMENT);
    CHECK(pstk_state_open("", "p", &state, &is_new, &err) == PSTK_E_ARGUMENT);
    CHECK(pstk_state_open("/dev/null/x", "p", &state, &is_new, &err) == PSTK_E_SYSTEM &&
          err.os_error == ENOTDIR);
}

static void test_a_second_process_is_refused_and_told_whose_it_is(void) {
    int ready[2];
    char byte = 0, pid_text[64];
    bool is_new = true;
    pstk_error err;
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) {
        pstk_state *state = open_state("p", &is_new);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        pause();
        pstk_state_close(state);
        _exit(0);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    CHECK(refused("p", &err) == PSTK_E_LOCKED);
    snprintf(pid_text, sizeof pid_text, "in use by process %ld on ", (long)child);
    CHECK(strstr(err.text, pid_text) != NULL && strstr(err.text, state_dir) != NULL);
    kill(child, SIGKILL);
    CHECK(exit_code_of(child) == 128 + SIGKILL);
    pstk_state_close(open_state("p", &is_new)); /* the lock died with it */
    CHECK(!is_new);
    pstk_state *state = open_state("p", &is_new); /* the same in one process */
    CHECK(refused("p", &err) == PSTK_E_LOCKED);
    pstk_state_close(state);
    close(ready[0]), close(ready[1]);
}

/* A process dies and leaves a child behind; abandons = the child was told of the fork, as the
 * engine does. */
static int open_after_an_orphan(bool abandons, pstk_error *out_err) {
    int ready[2], go[2];
    char byte = 0;
    bool is_new;
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) {
        pstk_state *state = open_state("p", &is_new);
        if (fork() == 0) {
            close(go[1]);
            if (abandons)
                pstk_state_abandon_fd(state);
            if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) < 0)
                _exit(1);
            _exit(0);
        }
        pause();
        _exit(0);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    pstk_error err;
    CHECK(refused("p", &err) == PSTK_E_LOCKED); /* abandoning did not unlock the parent's */
    kill(child, SIGKILL);
    CHECK(exit_code_of(child) == 128 + SIGKILL);
    pstk_state *state = NULL;
    int status = pstk_state_open(state_dir, "p", &state, &is_new, out_err);
    pstk_state_close(state);
    close(go[0]), close(go[1]); /* the orphan reads the end and goes */
    while (read(ready[0], &byte, 0) < 0)
        continue;
    close(ready[0]), close(ready[1]);
    return status;
}

static void wait_until_free(void) {
    pstk_state *state = NULL;
    pstk_error err;
    bool is_new;
    for (int i = 0;
         i < 500 && pstk_state_open(state_dir, "p", &state, &is_new, &err) == PSTK_E_LOCKED; i++)
        usleep(10000);
    CHECK(state != NULL);
    pstk_state_close(state);
}

static void test_an_orphan_holds_the_lock_only_where_it_was_not_told(void) {
    pstk_error err;
    CHECK(open_after_an_orphan(true, &err) == PSTK_OK);
    CHECK(open_after_an_orphan(false, &err) == PSTK_E_LOCKED);
    CHECK(strstr(err.text, "left behind when it died") != NULL);
    wait_until_free();
}

static void test_a_clean_close_frees_the_lock_of_a_living_child(void) {
    bool is_new;
    int go[2];
    char byte;
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    pstk_state *state = open_state("p", &is_new);
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    pstk_state_close(state);
    state = open_state("p", &is_new);
    close(go[0]), close(go[1]);
    CHECK(exit_code_of(child) == 0);
    pstk_error err;
    CHECK(refused("p", &err) == PSTK_E_LOCKED);
    pstk_state_close(state);
}

static void test_a_childs_close_does_not_unlock_for_its_parent(void) {
    bool is_new;
    pstk_error err;
    pstk_state *state = open_state("p", &is_new);
    pid_t child = fork();
    if (child == 0) {
        pstk_state_close(state);
        _exit(0);
    }
    CHECK(exit_code_of(child) == 0);
    CHECK(refused("p", &err) == PSTK_E_LOCKED);
    pstk_state_close(state);
}

static int on_a_read_only_directory(void) {
    pstk_error err;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("penstock-test", test_dir, "tmpfs", MS_RDONLY, "size=64k") != 0)
        return 77;
    CHECK(refused("p", &err) == PSTK_E_SYSTEM && err.os_error == EROFS);
    CHECK(strstr(err.text, state_dir) && strstr(err.text, "set state_dir"));
    CHECK(mount(NULL, test_dir, NULL, MS_REMOUNT, NULL) == 0 &&
          refused("", &err) == PSTK_E_ARGUMENT);
    bool is_new = false;
    pstk_state_close(open_state("p", &is_new));
    CHECK(is_new && mount(NULL, test_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHECK(refused("p", &err) == PSTK_E_SYSTEM && err.os_error == EROFS &&
          strstr(err.text, "/lock"));
    return check_failed ? 1 : 0;
}

static int on_a_full_disk(void) {
    pstk_error err;
    bool is_new = false;
    char path[128];
    static const uint8_t zeros[4096];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("penstock-test", test_dir, "tmpfs", 0, "size=64k") != 0)
        return 77;
    snprintf(path, sizeof path, "%s/filler", test_dir);
    pstk_state_close(open_state("p", &is_new));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    while (pstk_io_write(fd, zeros, sizeof zeros) == 0)
        continue;
    pstk_state *state = open_state("p", &is_new); /* nothing new to write */
    uint8_t id[16];
    memcpy(id, pstk_state_journal_id(state), sizeof id);
    CHECK(!is_new && pstk_state_new_journal(state, &err) == PSTK_E_SYSTEM);
    CHECK(err.os_error == ENOSPC && strstr(err.text, "STATE") != NULL);
    CHECK(memcmp(id, pstk_state_journal_id(state), sizeof id) == 0); /* the old one stands */
    pstk_state_close(state);
    state = open_state("p", &is_new);
    CHECK(!is_new && memcmp(id, pstk_state_journal_id(state), sizeof id) == 0);
    pstk_state_close(state);
    snprintf(state_dir, sizeof state_dir, "%s/another", test_dir);
    CHECK(refused("p", &err) == PSTK_E_SYSTEM && err.os_error == ENOSPC);
    close(fd);
    return check_failed ? 1 : 0;
}

static int as_another_user(void) {
    pstk_error err;
    if (chmod(test_dir, 0755) != 0 || chmod(state_dir, 0555) != 0 || setgid(65534) != 0 ||
        setuid(65534) != 0)
        return 77;
    CHECK(refused("p", &err) == PSTK_E_SYSTEM && err.os_error == EACCES);
    CHECK(strstr(err.text, state_dir) && strstr(err.text, "set state_dir"));
    return check_failed ? 1 : 0;
}

static void in_a_child(const char *what, int (*run)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    int code = exit_code_of(child);
    if (code == 77)
        printf("skipped: %s (needs root)\n", what);
    CHECK(code == 0 || code == 77);
}

int main(void) {
    test_begin();
    snprintf(state_dir, sizeof state_dir, "%s/deep/er/state", test_dir);
    test_the_journal_id_is_kept();
    test_other_headers_are_refused_by_name();
    test_arguments();
    snprintf(state_dir, sizeof state_dir, "%s/theirs", test_dir);
    test_a_directory_of_somebody_else_is_left_alone();
    snprintf(state_dir, sizeof state_dir, "%s/logs", test_dir);
    test_a_log_of_the_first_start_stops_nothing();
    snprintf(state_dir, sizeof state_dir, "%s/output", test_dir);
    test_the_file_of_our_own_output_stops_nothing();
    snprintf(state_dir, sizeof state_dir, "%s/p", test_dir);
    bool is_new;
    pstk_state_close(open_state("p", &is_new));
    test_a_second_process_is_refused_and_told_whose_it_is();
    test_an_orphan_holds_the_lock_only_where_it_was_not_told();
    test_a_clean_close_frees_the_lock_of_a_living_child();
    test_a_childs_close_does_not_unlock_for_its_parent();
    in_a_child("read-only directory", on_a_read_only_directory);
    in_a_child("full disk", on_a_full_disk);
    in_a_child("another user's directory", as_another_user);
    test_end();
    return check_result("ring_state");
}
