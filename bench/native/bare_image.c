/* bare_image: takes the place of the library's engine_checkpoint: the keeper wakes and moves the
 * ring's cursor as always, and writes no image. Nothing survives; to be measured against only. */
#include "engine.h"

#define pstk_image_write_from(folder, head, sections, reader, is_synced, err)                      \
    ((void)(sections), (void)(reader), (void)(err), PSTK_OK)
#define pstk_image_copy(from, folder, head, err) ((void)(err), PSTK_OK)
#include "engine_checkpoint.c"
