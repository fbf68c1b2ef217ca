/* ring_io: bytes go whole or with the errno that stopped them. */
#include "ring_io.h"

#include <errno.h>
#include <unistd.h>

int pstk_io_write(int fd, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    while (size) {
        ssize_t done = write(fd, p, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        p += done;
        size -= (size_t)done;
    }
    return 0;
}

int pstk_io_read(int fd, void *bytes, size_t size, size_t *out_size) {
    uint8_t *p = bytes;
    *out_size = 0;
    while (*out_size < size) {
        ssize_t done = pread(fd, p + *out_size, size - *out_size, (off_t)*out_size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        if (done == 0)
            break;
        *out_size += (size_t)done;
    }
    return 0;
}

int pstk_io_sync(int fd) {
    /* A failed fsync is never repeated: the kernel may have dropped the pages and says "done" the
     * second time. */
    return fsync(fd) == 0 ? 0 : errno;
}

void pstk_io_hex(const uint8_t id[16], char out_hex[PSTK_HEX_BYTES]) {
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        out_hex[2 * i] = digit[id[i] >> 4];
        out_hex[2 * i + 1] = digit[id[i] & 15];
    }
    out_hex[32] = 0;
}
