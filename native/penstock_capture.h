/* penstock_capture.h: a part of penstock.h, which includes it: the journal kept in files, and
 * played again. Owner  whoever opened a capture closes it. Threads  a capture: one at a time. Bound
 * 1 MiB of memory a capture. */
#ifndef PENSTOCK_CAPTURE_H
#define PENSTOCK_CAPTURE_H

/* From here on what is journaled also goes to files capture-*.bin in a folder, the oldest of them
 * removed so that they stay within bytes_max. A cold reader on a thread of its own: it never holds
 * the journal up; what it missed is counted in pstk_stats, and said in the files. Once an engine.
 */
PSTK_API PSTK_MUST_CHECK int pstk_engine_capture(pstk_engine *engine, const char *folder,
                                                 uint64_t bytes_max, pstk_error *err);

/* What the ring of another process, live or dead, still holds, as captures in a folder: the
 * beginning of one that has wrapped is gone. Options as that engine was opened with. */
PSTK_API PSTK_MUST_CHECK int pstk_ring_capture(const pstk_engine_options *options,
                                               const char *ring_folder, const char *folder,
                                               pstk_error *err);

typedef struct pstk_capture pstk_capture;
typedef struct pstk_capture_span { /* what one file holds */
    char plant[64];
    int64_t first_ns, last_ns; /* engine time */
    uint64_t pos, end;         /* of the journal; end of one is pos of the next */
    uint64_t blocks, samples, bytes;
    uint64_t missed, missed_before; /* bytes of the journal: in this file, in those before it */
    uint8_t journal_id[16];
    uint8_t is_cut; /* ends in the middle of a block */
    uint8_t reserved[7];
} pstk_capture_span;
PSTK_API PSTK_MUST_CHECK int pstk_capture_open(const char *path, pstk_capture **out_capture,
                                               pstk_error *err);
PSTK_API void pstk_capture_close(pstk_capture *capture);
/* By its block headers, then back to its beginning. */
PSTK_API void pstk_capture_look(pstk_capture *capture, pstk_capture_span *out_span);

typedef struct pstk_replayed { /* of one call */
    uint64_t samples, dropped, blocks;
    uint64_t skipped; /* samples of sources that this engine does not have, records it cannot use */
    uint64_t left;    /* bytes of the file behind the last block taken */
    int64_t engine_time_ns;
    uint8_t is_done, is_cut;
    uint8_t is_held; /* a ring or event ring is full: poll, acknowledge, call again */
    uint8_t reserved[5];
} pstk_replayed;
/* Plays a capture into an engine with the manual clock, block by block, up to so many bytes a call.
 * Tags, texts, streams and sources are told apart by their names; rules stay the engine's own.
 * Several captures of one journal, in order, go on where the one before ended. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_replay(pstk_engine *engine, pstk_capture *capture,
                                                uint64_t bytes_max, pstk_replayed *out_replayed,
                                                pstk_error *err);

#endif
