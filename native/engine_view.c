/* engine_view: what the ring of another process still holds becomes captures. The newest image in
 * the ring's folder says which names, streams, rules and contexts the blocks speak of.
 *
 * Threads  a caller's. Bound    tables as an engine of the same options has; never judges. */
#include "engine.h"

#include <stdlib.h>
#include <unistd.h>

static int restore(pstk_engine *engine, const char *folder, const uint8_t id[16], pstk_error *err) {
    pstk_image image;
    bool has_image = false;
    uint32_t damaged;
    int status = pstk_image_load(folder, id, PSTK_JUDGE_LAYOUT, &image, &has_image, &damaged, err);
    if (status != PSTK_OK || !has_image)
        return status; /* a young ring: it holds every name itself */
    status = pstk_engine_restore_image(engine, &image, err);
    pstk_image_free(&image);
    return status;
}

static int copy_ring(pstk_engine *engine, const char *ring_folder, const char *folder,
                     pstk_error *err) {
    uint8_t id[16];
    pstk_capture_state *state = &engine->capture;
    int status = pstk_ring_view(ring_folder, &engine->ring, id, err);
    if (status == PSTK_OK)
        status = restore(engine, ring_folder, id, err);
    if (status == PSTK_OK)
        status = pstk_capture_out_open(folder, UINT64_C(1) << 40, id, engine->options.plant,
                                       &state->out, err);
    state->block = aligned_alloc(64, PSTK_BLOCK_BYTES_MAX);
    if (status == PSTK_OK && !state->block)
        status = pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a block");
    if (status == PSTK_OK) {
        state->pos = pstk_ring_oldest(engine->ring);
        status = pstk_engine_capture_drain(engine, err);
    }
    return status;
}

int pstk_ring_capture(const pstk_engine_options *options, const char *ring_folder,
                      const char *folder, pstk_error *err) {
    pstk_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for an engine");
    engine->options = *options;
    engine->event_fd = -1;
    engine->pid = getpid();
    pthread_mutex_init(&engine->lock, NULL);
    int status = pstk_engine_open_tables(engine, 65536, err);
    if (status == PSTK_OK)
        status = copy_ring(engine, ring_folder, folder, err);
    pstk_engine_capture_stop(engine);
    pthread_mutex_destroy(&engine->lock);
    pstk_engine_free(engine);
    return status;
}
