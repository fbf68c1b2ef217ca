/* disk: how the disk journal lies in its segment files. Private to the stage and to its tests.
 *
 *      0  header  128 bytes of a page of its own, CRC32C, fsynced before a block goes behind it
 *   4096  data    the journal's bytes from `base` on, as they lie in the ring; preallocated
 *
 * A run of the engine writes one chain of segments, from a block border (`first`) on. Positions
 * behind `first` count in that chain only: what an earlier run wrote there died with its power.
 * Each block carries CRC32C over journal id, header and payload (PAD: header only); what does not
 * fit is the end. */
#ifndef PSTK_DISK_H
#define PSTK_DISK_H

#include "ring_file.h"

#define PSTK_DISK_MAGIC UINT64_C(0x314B5344534B5350) /* "PSKSDSK1" */
#define PSTK_DISK_VERSION 1u
#define PSTK_DISK_PREFIX "journal."
#define PSTK_DISK_NAME_BYTES 40u
#define PSTK_DISK_SEGMENTS_MAX 1024u
#define PSTK_DISK_SEGMENT_MIN UINT64_C(65536)
#define PSTK_DISK_SEGMENT_MAX (UINT64_C(256) << 20)
#define PSTK_DISK_WRITE_BYTES UINT64_C(4194304) /* the largest single pwrite */
#define PSTK_DISK_WINDOW 262144u                /* read at a time */

typedef struct pstk_segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t chain; /* counts up, one a run */
    uint8_t journal_id[16];
    uint64_t base;       /* journal position of the data's first byte: a page */
    uint64_t data_bytes; /* room behind the header: whole pages */
    uint64_t first;      /* where the chain begins */
    uint8_t reserved[68];
    uint32_t crc32c; /* of the 124 bytes before */
} pstk_segment_header;
_Static_assert(sizeof(pstk_segment_header) == 128, "segment header");

typedef struct pstk_segment {
    uint64_t base, data_bytes, first, file_bytes;
    uint32_t chain;
    bool is_useless; /* of another journal, or its header is damaged */
    char name[PSTK_DISK_NAME_BYTES];
} pstk_segment;

struct pstk_disk {
    pstk_disk_options options;
    char folder[PSTK_PATH_BYTES];
    int folder_fd;
    pstk_segment *segment; /* PSTK_DISK_SEGMENTS_MAX */
    uint32_t count;
    uint64_t held; /* bytes of all files */
    uint8_t *page; /* one page, on a page */

    uint32_t chain; /* ours; 0 = not begun */
    uint64_t first;
    uint64_t segment_bytes;
    uint64_t sealed; /* end of the last block that has its checksum */
    uint64_t placed; /* written to files up to here: a page */
    uint64_t durable;
    uint64_t given; /* bytes written, headers and last pages too */
    int fd;         /* the segment being written, -1 = none */
    uint32_t at;
    bool is_cached; /* the file system takes no direct writes */

    uint8_t *window; /* of the reader */
    uint64_t window_pos, window_bytes;
    uint32_t window_chain;
};

/* What block->crc32c must hold; never 0, which is what the ring holds before. */
uint32_t pstk_disk_crc(const uint8_t journal_id[16], const pstk_block *block);
/* The chain that serves pos; NULL where no segment does. */
const pstk_segment *pstk_disk_find(const pstk_disk *disk, uint64_t pos);
void pstk_disk_forget(pstk_disk *disk, uint32_t index);

#endif
