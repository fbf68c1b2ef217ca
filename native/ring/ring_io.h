/* ring_io: what the stage's files share of reading, writing and naming. Private to the stage.
 * Errors   errno values, 0 = done. EINTR is not an error and is gone on with; everything else is
 * returned at once. */
#ifndef PSTK_RING_IO_H
#define PSTK_RING_IO_H

#include "../base/base.h"

#define PSTK_PATH_BYTES 640u /* a folder of up to 511 bytes and a name of ours below it */
#define PSTK_HEX_BYTES 33u

int pstk_io_write(int fd, const void *bytes, size_t size);
/* Up to size bytes from the file's start; *out_size says how many there were. */
int pstk_io_read(int fd, void *bytes, size_t size, size_t *out_size);
int pstk_io_sync(int fd);
void pstk_io_hex(const uint8_t id[16], char out_hex[PSTK_HEX_BYTES]);

#endif
