/* ring_open: a folder and a file become a mapped ring: found whole and attached, or made new.
 *
 * A new file gets its name only when it is complete, so a kill leaves either the old ring or the
 * new one. The file is read with pread and its size checked before a byte of it is mapped: a short
 * or sparse mapping would be a SIGBUS in the host's process. A POSIX record lock keeps a second
 * process off (a copied state directory names the same journal); unlike flock a forked child does
 * not keep it when its parent dies. */
#include "ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define TMPFS_FIX "set ring_dir to a tmpfs such as /dev/shm"

#define POSITION_MAX (UINT64_MAX / 4 * 3) /* centuries away; sums of positions cannot wrap */

typedef struct opening { /* one pstk_ring_open on its way */
    const pstk_ring_options *options;
    pstk_ring *ring;
    int folder_fd;
    const char *damage; /* why the file found is not whole; NULL = nothing found damaged */
    pstk_error *err;
} opening;

/* ---- folder --------------------------------------------------------------------------------- */

static int folder_path(const char *ring_dir, const uint8_t id[16], char *out, size_t capacity) {
    char hex[PSTK_HEX_BYTES];
    pstk_io_hex(id, hex);
    int size = snprintf(out, capacity, "%s/penstock-%s", ring_dir, hex);
    return size > 0 && (size_t)size < capacity ? 0 : ENAMETOOLONG;
}

static int check_folder(opening *o) {
    const char *path = o->ring->folder;
    struct stat info;
    struct statfs system;
    if (fstat(o->folder_fd, &info) != 0 || fstatfs(o->folder_fd, &system) != 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring folder %.120s cannot be read", path);
    if (info.st_uid != geteuid())
        return pstk_fail(o->err, PSTK_E_STATE, 0,
                         "ring folder %.120s belongs to uid %u, not to us: remove it", path,
                         (unsigned)info.st_uid);
    if ((info.st_mode & 077) != 0 && fchmod(o->folder_fd, 0700) != 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring folder %.120s cannot be made private",
                         path);
    if (system.f_type != TMPFS_MAGIC)
        return pstk_fail(o->err, PSTK_E_UNSUPPORTED, 0,
                         "ring_dir %.96s is not on tmpfs (type 0x%lx), and a mapped disk file "
                         "stalls its writer: " TMPFS_FIX,
                         o->options->ring_dir, (unsigned long)system.f_type);
    return PSTK_OK;
}

static int open_folder(opening *o) {
    const char *path = o->ring->folder;
    struct statfs system;
    /* Before anything is made in it. */
    if (statfs(o->options->ring_dir, &system) != 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring_dir %.120s is not there; " TMPFS_FIX,
                         o->options->ring_dir);
    if (system.f_type == TMPFS_MAGIC && mkdir(path, 0700) != 0 && errno != EEXIST)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring folder %.120s cannot be made", path);
    const char *opened = system.f_type == TMPFS_MAGIC ? path : o->options->ring_dir;
    o->folder_fd =
        open(opened, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (opened == path ? O_NOFOLLOW : 0));
    if (o->folder_fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return pstk_fail(o->err, PSTK_E_STATE, 0,
                         "ring folder %.120s is a link or a file, not ours: remove it", path);
    if (o->folder_fd < 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring folder %.120s cannot be opened", path);
    return check_folder(o);
}

/* ---- mapping -------------------------------------------------------------------------------- */

static int map_file(opening *o, int fd, uint64_t ring_bytes) {
    pstk_ring *ring = o->ring;
    size_t bytes = (size_t)(pstk_ring_data_offset(ring_bytes) + ring_bytes);
    uint8_t *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring of %" PRIu64 " bytes cannot be mapped",
                         ring_bytes);
    if (madvise(base, bytes, MADV_DONTFORK) != 0) {
        int reason = errno;
        munmap(base, bytes);
        return pstk_fail(o->err, PSTK_E_SYSTEM, reason, "ring cannot be kept from forked children");
    }
    ring->header = (pstk_ring_header *)(void *)base;
    ring->index = (_Atomic uint64_t *)(void *)(base + PSTK_RING_HEADER_BYTES);
    ring->data = base + pstk_ring_data_offset(ring_bytes);
    ring->mapped_bytes = bytes;
    ring->ring_bytes = ring_bytes;
    ring->mask = ring_bytes - 1;
    ring->stride = pstk_ring_stride(ring_bytes);
    ring->index_mask = 2 * ring_bytes / ring->stride - 1;
    ring->fd = fd;
    return PSTK_OK;
}

static void unmap(pstk_ring *ring) {
    /* In a forked child the range is not ours: something else may lie there by now. */
    if (ring->header && ring->owner == getpid())
        munmap(ring->header, ring->mapped_bytes);
    ring->header = NULL;
    if (ring->fd >= 0)
        close(ring->fd);
    ring->fd = -1;
}

static int lock_file(opening *o, int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return PSTK_OK;
    int reason = errno;
    if (reason != EACCES && reason != EAGAIN)
        return pstk_fail(o->err, PSTK_E_SYSTEM, reason, "ring in %.120s cannot be locked",
                         o->ring->folder);
    bool is_named = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return pstk_fail(
        o->err, PSTK_E_LOCKED, 0,
        "ring in %.96s is in use by process %ld: is the state directory a copy of a running one?",
        o->ring->folder, is_named ? (long)lock.l_pid : 0L);
}

/* ---- a new ring ----------------------------------------------------------------------------- */

static int allocate(opening *o, int fd, uint64_t bytes, uint64_t missing) {
    struct statfs system;
    if (fstatfs(fd, &system) != 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "free space of %.120s is not known",
                         o->ring->folder);
    uint64_t free_bytes = (uint64_t)system.f_bavail * (uint64_t)system.f_bsize;
    int reason = 0;
    /* A tmpfs without a size limit says 0 blocks; posix_fallocate has the last word anyway. */
    if (system.f_blocks != 0 && free_bytes < missing)
        reason = ENOSPC;
    while (reason == 0 || reason == EINTR) {
        reason = posix_fallocate(fd, 0, (off_t)bytes);
        if (reason == 0)
            return PSTK_OK;
    }
    return pstk_fail(o->err, PSTK_E_SYSTEM, reason,
                     "ring needs %" PRIu64 " bytes, %.80s has %" PRIu64
                     " free; lower ring_bytes or enlarge the tmpfs",
                     missing, o->options->ring_dir, free_bytes);
}

static void write_header(const opening *o, uint64_t ring_bytes, uint64_t start) {
    pstk_ring_header *header = o->ring->header;
    pstk_ring_identity identity = {.magic = PSTK_RING_MAGIC,
                                   .version = PSTK_RING_VERSION,
                                   .header_bytes = (uint32_t)pstk_ring_data_offset(ring_bytes),
                                   .ring_bytes = ring_bytes,
                                   .made_ns = pstk_wall_ns()};
    memcpy(identity.journal_id, o->options->journal_id, sizeof identity.journal_id);
    identity.crc32c = pstk_crc32c(0, &identity, offsetof(pstk_ring_identity, crc32c));
    memcpy(&header->identity, &identity, sizeof identity);
    pstk_ring_line *cursors[] = {&header->claimed, &header->written, &header->judged,
                                 &header->checkpointed, &header->origin};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++)
        pstk_ring_store(cursors[i], start);
    pstk_ring_store(&header->layout, o->options->layout);
}

/* Positions start at `start`: 0, where a ring of another size ended, or where the disk journal
 * ends. */
static int make_ring(opening *o, uint64_t start) {
    uint64_t ring_bytes = o->options->ring_bytes;
    uint64_t bytes = pstk_ring_data_offset(ring_bytes) + ring_bytes;
    unlinkat(o->folder_fd, PSTK_RING_FILE_NEW, 0);
    int fd = openat(o->folder_fd, PSTK_RING_FILE_NEW,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring in %.120s cannot be made",
                         o->ring->folder);
    int status = lock_file(o, fd);
    if (status == PSTK_OK)
        status = allocate(o, fd, bytes, bytes);
    if (status == PSTK_OK)
        status = map_file(o, fd, ring_bytes);
    if (status != PSTK_OK) {
        unlinkat(o->folder_fd, PSTK_RING_FILE_NEW, 0);
        close(fd);
        return status;
    }
    write_header(o, ring_bytes, start);
    if (renameat(o->folder_fd, PSTK_RING_FILE_NEW, o->folder_fd, PSTK_RING_FILE) == 0)
        return PSTK_OK;
    int reason = errno;
    unmap(o->ring);
    unlinkat(o->folder_fd, PSTK_RING_FILE_NEW, 0);
    return pstk_fail(o->err, PSTK_E_SYSTEM, reason, "ring in %.120s cannot be named",
                     o->ring->folder);
}

/* ---- an old ring ---------------------------------------------------------------------------- */

static const char *identity_damage(const opening *o, const pstk_ring_identity *identity) {
    uint64_t ring_bytes = identity->ring_bytes;
    if (ring_bytes < PSTK_RING_BYTES_MIN || ring_bytes > PSTK_RING_BYTES_MAX ||
        (ring_bytes & (ring_bytes - 1)))
        return "its capacity is not possible";
    if (identity->header_bytes != pstk_ring_data_offset(ring_bytes))
        return "its header has another size";
    if (memcmp(identity->journal_id, o->options->journal_id, sizeof identity->journal_id) != 0)
        return "it belongs to another journal";
    return NULL;
}

/* Reads the identity without mapping; sets o->damage, or fails where the file is sound but not for
 * this build. */
static int check_identity(opening *o, int fd, pstk_ring_identity *out_identity) {
    struct stat info;
    size_t size = 0;
    int reason =
        fstat(fd, &info) != 0 ? errno : pstk_io_read(fd, out_identity, sizeof *out_identity, &size);
    if (reason)
        return pstk_fail(o->err, PSTK_E_SYSTEM, reason, "ring in %.120s cannot be read",
                         o->ring->folder);
    if (!S_ISREG(info.st_mode))
        return pstk_fail(o->err, PSTK_E_STATE, 0, "ring in %.120s is not a file: remove it",
                         o->ring->folder);
    if (size < sizeof *out_identity || out_identity->magic != PSTK_RING_MAGIC)
        o->damage = "it does not begin like a ring";
    else if (out_identity->crc32c !=
             pstk_crc32c(0, out_identity, offsetof(pstk_ring_identity, crc32c)))
        o->damage = "its identity has a wrong checksum";
    if (o->damage)
        return PSTK_OK;
    if (out_identity->version > PSTK_RING_VERSION)
        return pstk_fail(o->err, PSTK_E_STATE, 0,
                         "ring in %.96s has version %u, this build reads up to %u: start the newer "
                         "penstock, or remove "
                         "the folder and with it what is not in a checkpoint",
                         o->ring->folder, out_identity->version, PSTK_RING_VERSION);
    o->damage = identity_damage(o, out_identity);
    uint64_t bytes = (uint64_t)info.st_size, held = (uint64_t)info.st_blocks * 512;
    if (!o->damage && bytes != out_identity->header_bytes + out_identity->ring_bytes)
        o->damage = "its size is not what its header says";
    if (!o->damage && held < bytes)
        return allocate(o, fd, bytes, bytes - held);
    return PSTK_OK;
}

static const char *cursor_damage(const pstk_ring *ring) {
    const pstk_ring_header *h = ring->header;
    uint64_t claimed = pstk_ring_load(&h->claimed), written = pstk_ring_load(&h->written);
    uint64_t judged = pstk_ring_load(&h->judged), checkpointed = pstk_ring_load(&h->checkpointed);
    uint64_t origin = pstk_ring_load(&h->origin);
    if (claimed > POSITION_MAX)
        return "its cursors are beyond any journal";
    if (origin > checkpointed || checkpointed > judged || judged > written || written > claimed)
        return "its cursors are out of order";
    if (((origin | checkpointed | judged | written | claimed) & 63) != 0)
        return "a cursor is not on a block border";
    /* One block and one PAD may have been claimed. */
    if (claimed - checkpointed > ring->ring_bytes || claimed - written > 2 * PSTK_BLOCK_BYTES_MAX)
        return "its cursors are too far apart";
    return NULL;
}

/* Follows the chain of blocks, writing the index anew on the way. */
static bool is_chain_whole(pstk_ring *ring, uint64_t pos, uint64_t end) {
    while (pos != end) {
        const pstk_block *block = (const pstk_block *)(ring->data + (pos & ring->mask));
        if (!pstk_ring_block_is_sound(ring, pos, end, block))
            return false;
        uint64_t next = pos + pstk_ring_padded(block->bytes);
        pstk_ring_index_put(ring, pos, next);
        pos = next;
    }
    return true;
}

static const char *chain_damage(const opening *o) {
    pstk_ring *ring = o->ring;
    uint64_t checkpointed = pstk_ring_load(&ring->header->checkpointed);
    uint64_t judged = pstk_ring_load(&ring->header->judged);
    if (!is_chain_whole(ring, checkpointed, judged))
        return "a block between checkpointed and judged is damaged";
    if (!is_chain_whole(ring, judged, pstk_ring_load(&ring->header->written)))
        return "a block between judged and written is damaged";
    /* What is below checkpointed only serves cold readers and an older image: damage there costs no
     * sample. */
    uint64_t oldest = pstk_ring_oldest(ring);
    if (oldest <= checkpointed && is_chain_whole(ring, oldest, checkpointed))
        return NULL;
    pstk_ring_store(&ring->header->origin, checkpointed);
    pstk_fail(o->err, PSTK_OK, 0,
              "ring in %.120s is damaged below its checkpoint: replays begin at the checkpoint",
              ring->folder);
    return NULL;
}

/* Maps the file and looks at all of it. Not whole: o->damage says why and nothing stays mapped. */
static int attach_mapped(opening *o, int fd, uint64_t ring_bytes) {
    pstk_ring *ring = o->ring;
    int status = map_file(o, fd, ring_bytes);
    if (status != PSTK_OK) {
        close(fd);
        return status;
    }
    uint64_t layout = pstk_ring_load(&ring->header->layout);
    if (layout > o->options->layout) {
        unmap(ring);
        return pstk_fail(
            o->err, PSTK_E_STATE, 0,
            "ring in %.96s was used with image layout %" PRIu64
            ", this build reads up to %u: start the "
            "newer penstock, or remove the folder and with it what is not in a checkpoint",
            ring->folder, layout, o->options->layout);
    }
    ring->found_layout = (uint32_t)layout;
    o->damage = cursor_damage(ring);
    if (!o->damage)
        o->damage = chain_damage(o);
    if (o->damage)
        unmap(ring);
    else
        pstk_ring_store(&ring->header->layout, o->options->layout);
    return PSTK_OK;
}

/* On return o->ring->header is set where a whole ring was attached; else o->damage says why not,
 * NULL = no file. */
static int attach_ring(opening *o) {
    pstk_ring_identity identity;
    int fd = openat(o->folder_fd, PSTK_RING_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return PSTK_OK;
    if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
        return pstk_fail(o->err, PSTK_E_STATE, 0, "ring in %.120s is not a file: remove it",
                         o->ring->folder);
    if (fd < 0)
        return pstk_fail(o->err, PSTK_E_SYSTEM, errno, "ring in %.120s cannot be opened",
                         o->ring->folder);
    int status = lock_file(o, fd);
    if (status == PSTK_OK)
        status = check_identity(o, fd, &identity);
    if (status != PSTK_OK || o->damage) {
        close(fd);
        return status;
    }
    return attach_mapped(o, fd, identity.ring_bytes);
}

/* ring_bytes was changed. Everything in a checkpoint: a ring of the new size, positions go on. Else
 * the old ring stays as it is, since it alone holds what has not been checkpointed. */
static int resize_ring(opening *o) {
    pstk_ring *ring = o->ring;
    uint64_t written = pstk_ring_load(&ring->header->written);
    uint64_t waiting = written - pstk_ring_load(&ring->header->checkpointed);
    if (waiting) {
        pstk_fail(
            o->err, PSTK_OK, 0,
            "ring keeps its %" PRIu64 " bytes, not %" PRIu64 " as asked: %" PRIu64
            " bytes of it are in no checkpoint yet; it changes at an open after a clean close",
            ring->ring_bytes, o->options->ring_bytes, waiting);
        return PSTK_OK;
    }
    pstk_ring old = *ring;
    ring->header = NULL;
    int status = make_ring(o, written);
    unmap(&old);
    return status;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int find_or_make(opening *o, bool *out_is_new) {
    int status = open_folder(o);
    if (status == PSTK_OK)
        status = attach_ring(o);
    if (status != PSTK_OK)
        return status;
    if (o->ring->header)
        return o->ring->ring_bytes == o->options->ring_bytes ? PSTK_OK : resize_ring(o);
    /* The damaged file goes first: a tmpfs may not have room for two. */
    if (o->damage)
        unlinkat(o->folder_fd, PSTK_RING_FILE, 0);
    *out_is_new = true;
    status = make_ring(o, o->options->start);
    if (status == PSTK_OK && o->damage)
        pstk_fail(o->err, PSTK_OK, 0, "ring in %.120s was not whole and is made new: %s",
                  o->ring->folder, o->damage);
    return status;
}

int pstk_ring_open(const pstk_ring_options *options, pstk_ring **out_ring, bool *out_is_new,
                   pstk_error *err) {
    *out_ring = NULL;
    *out_is_new = false;
    if (err)
        memset(err, 0, sizeof *err);
    uint64_t bytes = options->ring_bytes;
    if (bytes < PSTK_RING_BYTES_MIN || bytes > PSTK_RING_BYTES_MAX || (bytes & (bytes - 1)))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "ring_bytes is %" PRIu64 ": it must be a power of two, %" PRIu64
                         " to %" PRIu64,
                         bytes, PSTK_RING_BYTES_MIN, PSTK_RING_BYTES_MAX);
    pstk_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the ring's handle");
    ring->fd = -1;
    ring->owner = getpid();
    atomic_init(&ring->durable, UINT64_MAX);
    opening o = {.options = options, .ring = ring, .folder_fd = -1, .err = err};
    int status = PSTK_OK;
    if (folder_path(options->ring_dir, options->journal_id, ring->folder, sizeof ring->folder) != 0)
        status = pstk_fail(err, PSTK_E_ARGUMENT, 0, "ring_dir is longer than 511 bytes");
    if (status == PSTK_OK)
        status = find_or_make(&o, out_is_new);
    if (o.folder_fd >= 0)
        close(o.folder_fd);
    if (status == PSTK_OK)
        *out_ring = ring;
    else
        free(ring);
    return status;
}

void pstk_ring_close(pstk_ring *ring) {
    if (!ring)
        return;
    unmap(ring);
    free(ring);
}

void pstk_ring_remove(const char *ring_dir, const uint8_t journal_id[16]) {
    static const char *const names[] = {PSTK_RING_FILE, PSTK_RING_FILE_NEW, "image.A", "image.B",
                                        "image.tmp"};
    char path[PSTK_PATH_BYTES];
    if (folder_path(ring_dir, journal_id, path, sizeof path) != 0)
        return;
    int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder_fd < 0)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlinkat(folder_fd, names[i], 0);
    close(folder_fd);
    rmdir(path);
}

const char *pstk_ring_folder(const pstk_ring *ring) { return ring->folder; }
