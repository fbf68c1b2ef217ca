/* state: a directory becomes ours: locked, with a header that says whose it is.
 *
 *   lock    flock; text "pid start host": start is field 22 of /proc/PID/stat, so a reused pid is
 *           not mistaken
 *   STATE   four lines of text, the last a CRC32C of those before. Only what we would write
 *           ourselves is accepted.
 *
 * A directory without STATE becomes ours only where it holds nothing that another program or a
 * person put there, but for a log of this very program (`penstock run 2> state/run.log` makes one
 * before the first start); it is looked at before anything is written.
 *
 * flock stays with a forked child when its parent dies, so the child closes its descriptor
 * (abandon_fd). */
#include "ring.h"
#include "ring_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define STATE_VERSION 1u
#define STATE_FILE "STATE"
#define STATE_FILE_NEW "STATE.tmp"
#define STATE_LOCK "lock"
#define STATE_FIRST "penstock-state "
#define STATE_TEXT_BYTES 256u
#define STATE_LOGS_MAX 8u /* more are another program's */
#define WRITE_FIX "give the user that runs penstock the right to write there, or set state_dir"

struct pstk_state {
    int lock_fd;
    int folder_fd;
    pid_t owner; /* a forked child must not unlock for its parent */
    uint8_t journal_id[16];
    char plant[64];
    char folder[PSTK_PATH_BYTES];
};

/* ---- directory ------------------------------------------------------------------------------ */

static int make_folders(const char *path) {
    char part[PSTK_PATH_BYTES];
    struct stat info;
    size_t size = strlen(path);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        pstk_copy_text(part, sizeof part, path, i);
        if (mkdir(part, 0700) == 0)
            continue;
        int reason = errno;
        if (stat(part, &info) != 0)
            return reason;
        if (!S_ISDIR(info.st_mode))
            return ENOTDIR;
    }
    return 0;
}

static int check_plant(const char *plant, pstk_error *err) {
    size_t size = strlen(plant);
    bool is_plain = size > 0 && size < 64 && pstk_is_utf8((const uint8_t *)plant, size);
    for (size_t i = 0; i < size && is_plain; i++)
        is_plain = (uint8_t)plant[i] >= 0x20 && plant[i] != 0x7f;
    if (!is_plain)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "plant must be 1 to 63 bytes of UTF-8 without control characters");
    return PSTK_OK;
}

/* ---- whose ---------------------------------------------------------------------------------- */

/* What may lie in a state directory without STATE: what we make before and beside it (a ledger or
 * captures may have been brought back alone), and what a file system makes itself.
 * penstock.config.environment has the same list; a test compares them. */
static bool is_ours(const char *name) {
    static const char *const whole[] = {
        ".",        "..",           STATE_LOCK,  STATE_FILE, STATE_FILE_NEW,
        "captures", "control.sock", "lost+found"};
    static const char *const begin[] = {"image.", "journal.", "ledger.", ".nfs"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (strncmp(name, begin[i], strlen(begin[i])) == 0)
            return true;
    return false;
}

static bool is_log_name(const char *name) {
    const char *end = strstr(name, ".log"); /* run.log, run.log.1 */
    return end && end > name && (end[4] == 0 || end[4] == '.');
}

/* A plain file that a shell or a service manager made for what this process says: its own standard
 * output or error under any name, or a log of an earlier attempt. */
static bool is_our_log(const pstk_state *state, const char *name) {
    struct stat file, own;
    if (fstatat(state->folder_fd, name, &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode))
        return false;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &own) == 0 && own.st_dev == file.st_dev && own.st_ino == file.st_ino)
            return true;
    return is_log_name(name);
}

/* Its name goes into a sentence: printable ASCII, so that no terminal obeys it. */
static void copy_name(char out[40], const char *name) {
    size_t size = strlen(name);
    pstk_copy_text(out, 40, name, size < 39 ? size : 39);
    for (char *p = out; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
}

static int refuse_foreign(const pstk_state *state, pstk_error *err) {
    if (faccessat(state->folder_fd, STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return PSTK_OK;
    int fd = openat(state->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return pstk_fail(err, PSTK_E_SYSTEM, reason, "state directory %.100s cannot be listed",
                         state->folder);
    }
    char found[40] = "";
    unsigned logs = 0;
    for (struct dirent *entry; !found[0] && (entry = readdir(folder)) != NULL;)
        if (!is_ours(entry->d_name) &&
            (!is_our_log(state, entry->d_name) || ++logs > STATE_LOGS_MAX))
            copy_name(found, entry->d_name);
    closedir(folder);
    if (found[0])
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "state directory %.100s holds '%s' and no STATE of penstock: set "
                         "state_dir to a directory of its own",
                         state->folder, found);
    return PSTK_OK;
}

/* ---- lock ----------------------------------------------------------------------------------- */

/* When a process began, in clock ticks since boot (proc(5), stat field 22); 0 = there is none. */
static uint64_t process_start(long pid) {
    char path[64], text[1024];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int reason = pstk_io_read(fd, text, sizeof text - 1, &size);
    close(fd);
    text[reason ? 0 : size] = 0;
    char *p = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

static int fail_locked(const pstk_state *state, pstk_error *err) {
    char text[160];
    size_t size = 0;
    long pid = 0;
    unsigned long long start = 0;
    char host[65] = "", here[65];
    struct utsname name;
    if (pstk_io_read(state->lock_fd, text, sizeof text - 1, &size) != 0)
        size = 0;
    text[size] = 0;
    int fields = sscanf(text, "%ld %llu %64s", &pid, &start, host);
    snprintf(here, sizeof here, "%s", uname(&name) == 0 ? name.nodename : "");
    if (fields == 3 && strcmp(host, here) == 0 && process_start(pid) != start)
        return pstk_fail(err, PSTK_E_LOCKED, 0,
                         "state directory %.100s is held by a child that process %ld left behind "
                         "when it died: end it",
                         state->folder, pid);
    return pstk_fail(err, PSTK_E_LOCKED, 0,
                     "state directory %.100s is in use by process %ld on %s: stop it first",
                     state->folder, pid, fields == 3 ? host : "an unknown host");
}

static int lock_folder(pstk_state *state, pstk_error *err) {
    state->lock_fd =
        openat(state->folder_fd, STATE_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (state->lock_fd < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "%.100s/lock cannot be written; " WRITE_FIX,
                         state->folder);
    while (flock(state->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return fail_locked(state, err);
        if (errno != EINTR)
            return pstk_fail(err, PSTK_E_SYSTEM, errno, "%.160s/lock cannot be locked",
                             state->folder);
    }
    char text[160];
    struct utsname name;
    int size = snprintf(text, sizeof text, "%ld %" PRIu64 " %.64s\n", (long)getpid(),
                        process_start(getpid()), uname(&name) == 0 ? name.nodename : "?");
    /* Written over, then cut: a full disk must not keep us from a directory that is already ours.
     */
    int reason = pstk_io_write(state->lock_fd, text, (size_t)size);
    if (reason == 0 && ftruncate(state->lock_fd, size) != 0)
        reason = errno;
    if (reason)
        return pstk_fail(err, PSTK_E_SYSTEM, reason, "%.100s/lock cannot be written; " WRITE_FIX,
                         state->folder);
    return PSTK_OK;
}

/* ---- header --------------------------------------------------------------------------------- */

static size_t header_text(const char *plant, const uint8_t journal_id[16],
                          char out[STATE_TEXT_BYTES]) {
    char hex[PSTK_HEX_BYTES];
    pstk_io_hex(journal_id, hex);
    int size = snprintf(out, STATE_TEXT_BYTES, STATE_FIRST "%u\nplant %s\njournal %s\n",
                        STATE_VERSION, plant, hex);
    uint32_t crc = pstk_crc32c(0, out, (size_t)size);
    size += snprintf(out + size, STATE_TEXT_BYTES - (size_t)size, "crc32c %08" PRIx32 "\n", crc);
    return (size_t)size;
}

static int write_header(const pstk_state *state, const uint8_t journal_id[16], pstk_error *err) {
    char text[STATE_TEXT_BYTES];
    size_t size = header_text(state->plant, journal_id, text);
    int fd = openat(state->folder_fd, STATE_FILE_NEW,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int reason = fd < 0 ? errno : pstk_io_write(fd, text, size);
    if (fd >= 0 && reason == 0)
        reason = pstk_io_sync(fd);
    if (fd >= 0 && close(fd) != 0 && reason == 0 && errno != EINTR)
        reason = errno;
    PSTK_CRASH("state.header.before");
    if (reason == 0 &&
        renameat(state->folder_fd, STATE_FILE_NEW, state->folder_fd, STATE_FILE) != 0)
        reason = errno;
    if (reason == 0) {
        PSTK_CRASH("state.header.after");
        reason = pstk_io_sync(state->folder_fd);
    } else {
        unlinkat(state->folder_fd, STATE_FILE_NEW, 0);
    }
    if (reason)
        return pstk_fail(err, PSTK_E_SYSTEM, reason, "%.100s/STATE cannot be written; " WRITE_FIX,
                         state->folder);
    return PSTK_OK;
}

static bool read_hex(const char *text, uint8_t out[16]) {
    for (size_t i = 0; i < 32; i++) {
        const char *digits = "0123456789abcdef", *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        out[i / 2] = (uint8_t)((out[i / 2] << 4) | (digit - digits));
    }
    return true;
}

/* The plant and journal of a header, or false where it is not byte for byte what we write. */
static bool parse_header(const char *text, size_t size, char out_plant[64],
                         uint8_t out_journal_id[16]) {
    char again[STATE_TEXT_BYTES];
    const char *plant = strstr(text, "\nplant ");
    const char *journal = plant ? strstr(plant + 7, "\njournal ") : NULL;
    if (!journal || (size_t)(journal - plant) - 7 >= 64)
        return false;
    pstk_copy_text(out_plant, 64, plant + 7, (size_t)(journal - plant) - 7);
    return read_hex(journal + 9, out_journal_id) &&
           header_text(out_plant, out_journal_id, again) == size && memcmp(again, text, size) == 0;
}

static int read_header(pstk_state *state, bool *out_found, pstk_error *err) {
    char text[STATE_TEXT_BYTES], plant[64];
    size_t size = 0;
    *out_found = false;
    int fd = openat(state->folder_fd, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return PSTK_OK;
    int reason = fd < 0 ? errno : pstk_io_read(fd, text, sizeof text - 1, &size);
    if (fd >= 0)
        close(fd);
    if (reason)
        return pstk_fail(err, PSTK_E_SYSTEM, reason, "%.160s/STATE cannot be read", state->folder);
    text[size] = 0;
    bool is_ours = strncmp(text, STATE_FIRST, strlen(STATE_FIRST)) == 0;
    unsigned long version = is_ours ? strtoul(text + strlen(STATE_FIRST), NULL, 10) : 0;
    if (version > STATE_VERSION)
        return pstk_fail(
            err, PSTK_E_STATE, 0,
            "%.100s/STATE has version %lu, this build reads up to %u: start the newer penstock",
            state->folder, version, STATE_VERSION);
    if (!parse_header(text, size, plant, state->journal_id))
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "%.100s/STATE is damaged or not ours: restore it, or set state_dir to "
                         "another directory",
                         state->folder);
    if (strcmp(plant, state->plant) != 0)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "state directory %.60s belongs to plant %s, not %s: set another state_dir",
                         state->folder, plant, state->plant);
    *out_found = true;
    return PSTK_OK;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int pstk_state_new_journal(pstk_state *state, pstk_error *err) {
    uint8_t id[16];
    ssize_t size = getrandom(id, sizeof id, 0);
    if (size != sizeof id)
        return pstk_fail(err, PSTK_E_SYSTEM, size < 0 ? errno : EIO,
                         "no random bytes for a journal id");
    int status = write_header(state, id, err);
    if (status == PSTK_OK)
        memcpy(state->journal_id, id, sizeof id);
    return status;
}

static int open_folder(pstk_state *state, pstk_error *err) {
    int reason = make_folders(state->folder);
    if (reason == 0) {
        state->folder_fd = open(state->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        reason = state->folder_fd < 0 ? errno : 0;
    }
    if (reason)
        return pstk_fail(err, PSTK_E_SYSTEM, reason,
                         "state directory %.100s cannot be made; " WRITE_FIX, state->folder);
    return PSTK_OK;
}

int pstk_state_open(const char *state_dir, const char *plant, pstk_state **out_state,
                    bool *out_is_new, pstk_error *err) {
    *out_state = NULL;
    *out_is_new = false;
    size_t size = strlen(state_dir);
    if (size == 0 || size >= 512)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "state_dir must be 1 to 511 bytes");
    int status = check_plant(plant, err);
    if (status != PSTK_OK)
        return status;
    pstk_state *state = calloc(1, sizeof *state);
    if (!state)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the state's handle");
    state->lock_fd = state->folder_fd = -1;
    state->owner = getpid();
    pstk_copy_text(state->folder, sizeof state->folder, state_dir, size);
    pstk_copy_text(state->plant, sizeof state->plant, plant, strlen(plant));
    bool is_found = false;
    status = open_folder(state, err);
    if (status == PSTK_OK)
        status = refuse_foreign(state, err);
    if (status == PSTK_OK)
        status = lock_folder(state, err);
    if (status == PSTK_OK)
        status = read_header(state, &is_found, err);
    if (status == PSTK_OK && !is_found)
        status = pstk_state_new_journal(state, err);
    if (status != PSTK_OK) {
        pstk_state_close(state);
        return status;
    }
    *out_is_new = !is_found;
    *out_state = state;
    return PSTK_OK;
}

const uint8_t *pstk_state_journal_id(const pstk_state *state) { return state->journal_id; }
const char *pstk_state_folder(const pstk_state *state) { return state->folder; }

void pstk_state_abandon_fd(pstk_state *state) {
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    if (state->folder_fd >= 0)
        close(state->folder_fd);
    state->lock_fd = state->folder_fd = -1;
}

void pstk_state_close(pstk_state *state) {
    if (!state)
        return;
    /* Said aloud: a forked child that still has the descriptor would otherwise keep the lock. */
    if (state->lock_fd >= 0 && state->owner == getpid())
        flock(state->lock_fd, LOCK_UN);
    pstk_state_abandon_fd(state);
    free(state);
}
