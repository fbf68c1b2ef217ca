/* out: bytes a wire wants to send, bounded a connection. */
#include "intake.h"

bool pstk_out_put(pstk_out *out, const void *bytes, size_t size) {
    if (size > sizeof out->bytes - out->size)
        return false;
    if (size)
        memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return true;
}
