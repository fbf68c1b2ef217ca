/* ring: the journal's memory and its checkpoints. The one header of the stage.
 * Owner    the engine. A preallocated tmpfs file, mapped until close; its cursors lie in the
 *          mapping and survive SIGKILL.
 * Threads  claim/commit: whoever holds the writer lock. peek/judged: the judge (same lock).
 *          copy, back, oldest: any thread, cold.
 * Bound    ring_bytes, a power of two, so an index is a mask. A block is at most
 *          PSTK_BLOCK_BYTES_MAX.
 * Full     claim returns NULL. The caller waits or counts the loss. Nothing here waits. */
#ifndef PSTK_RING_H
#define PSTK_RING_H

#include "../base/base.h"

#define PSTK_BLOCK_BYTES_MAX 16384u
#define PSTK_BLOCK_SAMPLES_MAX ((PSTK_BLOCK_BYTES_MAX - 64u) / 24u) /* 680 */

typedef enum pstk_record {
    PSTK_RECORD_PAD = 0, /* fills the lap's end */
    PSTK_RECORD_SAMPLES = 1,
    PSTK_RECORD_TICK = 2,     /* no payload; recv_time_ns is T */
    PSTK_RECORD_TAG = 3,      /* pstk_tag_record */
    PSTK_RECORD_CODE = 4,     /* pstk_code_record */
    PSTK_RECORD_SOURCE = 5,   /* pstk_source_record */
    PSTK_RECORD_STREAM = 6,   /* pstk_stream_record */
    PSTK_RECORD_CONTEXT = 7,  /* pstk_context */
    PSTK_RECORD_BASELINE = 8, /* pstk_baseline */
    PSTK_RECORD_CONFIG = 9,   /* pstk_config_record, items: they hold once the last part has come */
    PSTK_RECORD_COUNTS = 10,  /* pstk_counts_record: drops by reason, absolute */
    PSTK_RECORD_OPERATOR = 11,            /* pstk_operation */
    PSTK_RECORD_CLOCK = 12,               /* pstk_clock_record: the box's clock was set forward */
    PSTK_RECORD_LAST = PSTK_RECORD_CLOCK, /* a block of a kind above is no block */
} pstk_record;

typedef struct pstk_block { /* 64 bytes, little-endian; payload follows, block padded to 64 */
    uint32_t bytes;         /* header and payload, without padding */
    uint16_t kind;          /* pstk_record */
    uint16_t source;
    uint64_t pos;         /* absolute byte offset, never reused */
    int64_t recv_time_ns; /* engine time T */
    uint64_t source_pos;  /* numbered stream: next sample number expected; feed: batch position */
    uint64_t used_total;  /* samples of this source journaled, this block included */
    uint64_t dropped_total;
    uint32_t count;
    uint16_t config_gen;
    uint16_t stream;     /* index of the stream, given by STREAM records */
    uint32_t source_ord; /* samples of that message in the journal so far; 0 = all */
    uint32_t crc32c;     /* 0 in the ring; the disk journal fills it */
} pstk_block;

typedef struct pstk_tag_record {
    uint32_t tag_id;
    uint16_t source;
    uint8_t type;
    uint8_t name_bytes;
    char name[PSTK_NAME_BYTES];
} pstk_tag_record;
typedef struct pstk_clock_record {
    int64_t by_ns; /* so far T jumped; no time has passed by it */
} pstk_clock_record;
typedef struct pstk_code_record {
    uint32_t tag_id;
    uint32_t code;
    char text[32];
} pstk_code_record;
typedef enum pstk_source_change {
    PSTK_SOURCE_UP = 1,
    PSTK_SOURCE_DOWN = 2,
    PSTK_SOURCE_GAP = 3,
    PSTK_SOURCE_BOOT = 4
} pstk_source_change;
typedef struct pstk_source_record {
    uint32_t change;
    uint32_t connection;
    uint64_t lost;
    uint64_t next_seq;
    uint32_t boot;
    uint32_t reserved;
} pstk_source_record;
/* And the connection: the clock of a source whose payloads name no stream. */
#define PSTK_STREAM_UNNUMBERED 0x80000000u
typedef struct pstk_stream_record {
    uint32_t index;
    uint32_t stream;
    uint32_t boot;
    uint32_t reserved;
} pstk_stream_record;
typedef struct pstk_config_source {
    char name[64];
    int64_t lateness_ns;
    int64_t idle_after_ns;
} pstk_config_source;
typedef enum pstk_config_part { PSTK_CONFIG_SOURCES = 0, PSTK_CONFIG_RULES = 1 } pstk_config_part;
/* Items follow: pstk_config_source or pstk_rule; sources first, rules last. */
typedef struct pstk_config_record {
    uint8_t digest[32]; /* SHA-256 over all sources, then all rules */
    uint32_t generation;
    uint32_t part;  /* pstk_config_part */
    uint32_t first; /* index of the first item here */
    uint32_t count; /* items here */
    uint32_t source_total;
    uint32_t rule_total;
} pstk_config_record;
typedef struct pstk_counts_record {
    uint64_t dropped[PSTK_DROP_COUNT];
} pstk_counts_record;

typedef struct pstk_ring pstk_ring;

typedef struct pstk_ring_options {
    const char *ring_dir; /* tmpfs; refused otherwise (statfs TMPFS_MAGIC) */
    uint64_t ring_bytes;  /* power of two */
    uint8_t journal_id[16];
    uint32_t layout; /* version of the judge's image layout, refused when newer */
    uint64_t start;  /* where the positions of a new ring begin */
} pstk_ring_options;

/* Attaches to the journal of that id where its file is whole, else makes a new one (*out_is_new).
 * File mode 0600 in a directory 0700 named penstock-<journal id>. ENOSPC at once (posix_fallocate),
 * never SIGBUS later. err->text may hold a sentence though the status is OK: the old ring was
 * damaged, or keeps its size because it holds what is in no checkpoint. With another ring_bytes and
 * nothing of that kind the ring is made anew at the same position. */
int pstk_ring_open(const pstk_ring_options *options, pstk_ring **out_ring, bool *out_is_new,
                   pstk_error *err);
void pstk_ring_close(pstk_ring *ring); /* the file stays */
void pstk_ring_remove(const char *ring_dir, const uint8_t journal_id[16]);
/* The ring of another process in that folder, to be read only: for copy, oldest, written. E_STATE:
 * none of this version, or damaged. */
int pstk_ring_view(const char *folder, pstk_ring **out_ring, uint8_t out_journal_id[16],
                   pstk_error *err);
const char *pstk_ring_folder(const pstk_ring *ring);

/* Room for one block of up to payload_bytes; NULL when full. A second claim before commit replaces
 * the first. */
uint8_t *pstk_ring_claim(pstk_ring *ring, size_t payload_bytes);
/* payload_bytes may be smaller than claimed. Fills block->bytes and block->pos, publishes by
 * release store of written. Returns the block's position. */
uint64_t pstk_ring_commit(pstk_ring *ring, pstk_block *block, size_t payload_bytes);
uint64_t pstk_ring_free(const pstk_ring *ring);

/* The block at pos, or NULL at the tail. PAD is skipped: *out_next is where to go on. Judge only.
 * NULL with *out_next below written: the mapping was spoiled under us; go no further. */
const pstk_block *pstk_ring_peek(const pstk_ring *ring, uint64_t pos, uint64_t *out_next);
static inline const uint8_t *pstk_block_payload(const pstk_block *block) {
    return (const uint8_t *)(block + 1);
}

uint64_t pstk_ring_written(const pstk_ring *ring);
/* The oldest block that is still whole; never above checkpointed. */
uint64_t pstk_ring_oldest(const pstk_ring *ring);
uint64_t pstk_ring_judged(const pstk_ring *ring);
uint64_t pstk_ring_checkpointed(const pstk_ring *ring);
uint64_t pstk_ring_size(const pstk_ring *ring);
uint32_t pstk_ring_found_layout(const pstk_ring *ring); /* it was last used with; 0 = it is new */
/* Both go up, but in recovery: judged below checkpointed lowers that too, and checkpointed above
 * judged raises it. The writer may overwrite below checkpointed. */
void pstk_ring_set_judged(pstk_ring *ring, uint64_t pos);
void pstk_ring_set_checkpointed(pstk_ring *ring, uint64_t pos);
/* Where a disk journal is kept: the writer may overwrite only below this too. Not in the file: the
 * disk itself says at open how far it has come. */
void pstk_ring_set_durable(pstk_ring *ring, uint64_t pos);

/* Cold read: copies the whole block at pos, then verifies that it was not overwritten meanwhile.
 * *out_next is the following block's position. False: gone, or longer than capacity, and *out_next
 * is where to go on, always forward; or the tail, and *out_next is pos. */
bool pstk_ring_copy(const pstk_ring *ring, uint64_t pos, void *out_block, size_t capacity,
                    uint64_t *out_next);
/* Position of the block that begins nearest to distance bytes before pos (never before oldest),
 * from a sparse index the writer keeps (one entry each 256 KiB): cold readers go back without a
 * chain of back links. */
uint64_t pstk_ring_back(const pstk_ring *ring, uint64_t pos, uint64_t distance);

/* ---- checkpoint images: full, A/B, CRC32C over header and every section ---------------- */

#define PSTK_IMAGE_SECTIONS_MAX 64u
typedef struct pstk_section {
    uint32_t tag;
    uint32_t version;
    const void *bytes;
    uint64_t size;
} pstk_section;
typedef struct pstk_image_head {
    uint8_t journal_id[16];
    uint64_t pos; /* everything before it is in the image */
    int64_t engine_time_ns;
    uint64_t generation; /* counts up; the newer of A and B wins */
    uint32_t layout;
    uint32_t section_count;
} pstk_image_head;

/* How the bytes of a section are had: in order, each once, at most PSTK_IMAGE_PIECE_BYTES a call.
 * NULL = they lie at section->bytes. */
#define PSTK_IMAGE_PIECE_BYTES 32768u
typedef struct pstk_image_reader {
    void (*read)(void *context, const pstk_section *section, uint64_t at, void *out, size_t bytes);
    void *context;
} pstk_image_reader;

/* Writes folder/image.A or .B (the older one), by a temporary name and rename; with is_synced also
 * fsync of file and folder. Any error is returned and the newest stays; without is_synced the older
 * one's memory is used again, so that an error leaves only the newest. Crash points:
 * image.write.half, image.rename.before, image.rename.after. */
int pstk_image_write(const char *folder, const pstk_image_head *head, const pstk_section *sections,
                     bool is_synced, pstk_error *err);
int pstk_image_write_from(const char *folder, const pstk_image_head *head,
                          const pstk_section *sections, const pstk_image_reader *reader,
                          bool is_synced, pstk_error *err);
/* The image of that head as it was written to one folder, written to another with fsync. */
int pstk_image_copy(const char *from_folder, const char *folder, const pstk_image_head *head,
                    pstk_error *err);
typedef struct pstk_image {
    pstk_image_head head;
    pstk_section section[PSTK_IMAGE_SECTIONS_MAX];
    uint8_t *buffer;
} pstk_image;
/* The newest valid image of that journal in folder; *out_found false when there is none. Newer
 * layout: E_STATE. journal_id NULL = any. */
int pstk_image_load(const char *folder, const uint8_t *journal_id, uint32_t layout,
                    pstk_image *out_image, bool *out_found, uint32_t *out_damaged, pstk_error *err);
const pstk_section *pstk_image_section(const pstk_image *image, uint32_t tag);
void pstk_image_free(pstk_image *image);

/* ---- disk journal: every block also in the state directory ------------------------------ */

typedef struct pstk_disk pstk_disk;
typedef struct pstk_disk_options {
    const char *folder;
    uint8_t journal_id[16];
    uint64_t bytes_max; /* of all segment files together */
} pstk_disk_options;
/* Lists the segments of that journal. E_STATE: one of a newer version. *out_damaged: files whose
 * header cannot be read; they are passed over. One thread at a time uses the handle. */
int pstk_disk_open(const pstk_disk_options *options, pstk_disk **out_disk, uint32_t *out_damaged,
                   pstk_error *err);
void pstk_disk_close(pstk_disk *disk);
void pstk_disk_remove(pstk_disk *disk); /* every file of it: the handle may only be closed */
uint64_t pstk_disk_bytes(const pstk_disk *disk);
uint64_t pstk_disk_given(const pstk_disk *disk); /* bytes written so far */
/* The whole block at pos, its checksum right; PAD is skipped. False: the journal ends here. */
bool pstk_disk_read(pstk_disk *disk, uint64_t pos, uint8_t out_block[PSTK_BLOCK_BYTES_MAX],
                    uint64_t *out_next);
/* Behind the last block that follows from pos without a break; pos where there is none. */
uint64_t pstk_disk_follow(pstk_disk *disk, uint64_t pos);
/* Whoever wrote [from, to) may have died before its sync: on return a power cut does not take it.
 */
int pstk_disk_sync_found(const pstk_disk *disk, uint64_t from, uint64_t to, pstk_error *err);

/* From here on this run writes, from a block border that the ring still holds. What was there of
 * earlier runs counts below pos only. */
void pstk_disk_begin(pstk_disk *disk, uint64_t pos);
/* Checksums and writes whole pages up to `to`. E_FULL: no room for another segment by bytes_max or
 * on the disk; nothing is lost, try again later. Other errors are final. */
int pstk_disk_write(pstk_disk *disk, const pstk_ring *ring, uint64_t to, pstk_error *err);
/* The rest of the last page, then fdatasync. *out_durable: everything before it survives a power
 * cut. */
int pstk_disk_sync(pstk_disk *disk, const pstk_ring *ring, uint64_t *out_durable, pstk_error *err);
/* Everything before saved is in an image on disk: removes the segments that hold nothing else. */
void pstk_disk_release(pstk_disk *disk, uint64_t saved);

/* ---- captures: blocks of the journal in files of their own ----------------------------- */

/* A file: pstk_capture_head, then blocks as in the ring, each padded to 64 and with its checksum
 * (CRC32C of the block with crc32c = 0). What a reader needs to know stands before the first block
 * that uses it: records whose pos is UINT64_MAX say what held when the file began; there TAG and
 * CODE blocks hold many records, as their count says. */
#define PSTK_CAPTURE_MAGIC UINT64_C(0x315041434B545350) /* "PSTKCAP1" */
#define PSTK_CAPTURE_VERSION 1u
#define PSTK_CAPTURE_TOLD UINT64_MAX
typedef struct pstk_capture_head { /* 128 bytes */
    uint64_t magic;
    uint32_t version;
    uint32_t header_bytes;
    uint8_t journal_id[16];
    uint64_t pos;           /* of the first block of the journal */
    uint64_t missed;        /* bytes of the journal this capture had missed before */
    int64_t engine_time_ns; /* T when it was begun */
    char plant[64];
    uint32_t reserved;
    uint32_t crc32c; /* of the 124 bytes before */
} pstk_capture_head;

typedef struct pstk_capture_out pstk_capture_out;
/* Files capture-<T>.bin in a folder that exists, together at most bytes_max (at least 1 MiB): the
 * oldest are removed for a new one. A file takes an eighth of that. */
int pstk_capture_out_open(const char *folder, uint64_t bytes_max, const uint8_t journal_id[16],
                          const char *plant, pstk_capture_out **out, pstk_error *err);
/* True: the next block begins a file; say what a reader needs first. */
bool pstk_capture_out_is_new(const pstk_capture_out *out);
int pstk_capture_out_begin(pstk_capture_out *out, uint64_t pos, uint64_t missed,
                           int64_t engine_time_ns, pstk_error *err);
/* Header and payload need not be padded; kept in memory until flush or 256 KiB are full. */
int pstk_capture_out_put(pstk_capture_out *out, const pstk_block *block, const void *payload,
                         pstk_error *err);
int pstk_capture_out_flush(pstk_capture_out *out, pstk_error *err);
uint64_t pstk_capture_out_bytes(const pstk_capture_out *out); /* written so far */
void pstk_capture_out_close(pstk_capture_out *out);           /* NULL: nothing */

/* Reading one; its bytes are hostile. */
int pstk_capture_open(const char *path, pstk_capture **out_capture, pstk_error *err);
void pstk_capture_close(pstk_capture *capture);
void pstk_capture_rewind(pstk_capture *capture);
/* The next block, sound and, where asked, with its checksum right; NULL at the end. It lies there
 * until the next call. skip goes behind it. */
const pstk_block *pstk_capture_peek(pstk_capture *capture, bool is_checked);
void pstk_capture_skip(pstk_capture *capture);
const pstk_capture_head *pstk_capture_head_of(const pstk_capture *capture);
uint64_t pstk_capture_left(const pstk_capture *capture); /* bytes */
bool pstk_capture_is_cut(const pstk_capture *capture);   /* it ended in the middle of a block */

/* ---- state directory: one lock, one versioned header ----------------------------------- */

typedef struct pstk_state pstk_state;
/* Locks (flock, O_CLOEXEC; the lock file names pid and start time), reads or makes the header
 * (magic, version, plant, journal id). E_LOCKED names the holder's pid; E_STATE: newer version,
 * another plant, or a directory of somebody else; E_SYSTEM: read-only, full. */
int pstk_state_open(const char *state_dir, const char *plant, pstk_state **out_state,
                    bool *out_is_new, pstk_error *err);
const uint8_t *pstk_state_journal_id(const pstk_state *state);
/* A fresh id, on disk before return: the old ring is lost. */
int pstk_state_new_journal(pstk_state *state, pstk_error *err);
const char *pstk_state_folder(const pstk_state *state);
void pstk_state_close(pstk_state *state);
/* In a forked child: closes the descriptors without unlocking the parent's. */
void pstk_state_abandon_fd(pstk_state *state);

#endif
