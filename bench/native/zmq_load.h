/* zmq_load: what the bench calls of libzmq, found when the program runs: a box without it builds
 * the same programs, and the figures beside it are skipped by name. Numbers and layout are those
 * of libzmq 4's stable ABI. */
#ifndef BENCH_ZMQ_LOAD_H
#define BENCH_ZMQ_LOAD_H

#include "child.h"

#include <dlfcn.h>
#include <stddef.h>

#define ZMQ_LIBRARY "libzmq.so.5"
#define ZMQ_PULL 7
#define ZMQ_PUSH 8
#define ZMQ_RCVBUF 12
#define ZMQ_LINGER 17
#define ZMQ_SNDHWM 23
#define ZMQ_RCVHWM 24
#define ZMQ_LAST_ENDPOINT 32

typedef struct zmq_msg_t {
    _Alignas(void *) unsigned char opaque[64];
} zmq_msg_t;

#define ZMQ_CALLS(CALL)                                                                            \
    CALL(void *, ctx_new, (void))                                                                  \
    CALL(int, ctx_term, (void *))                                                                  \
    CALL(void *, socket, (void *, int))                                                            \
    CALL(int, close, (void *))                                                                     \
    CALL(int, setsockopt, (void *, int, const void *, size_t))                                     \
    CALL(int, getsockopt, (void *, int, void *, size_t *))                                         \
    CALL(int, bind, (void *, const char *))                                                        \
    CALL(int, connect, (void *, const char *))                                                     \
    CALL(int, send, (void *, const void *, size_t, int))                                           \
    CALL(int, msg_init, (zmq_msg_t *))                                                             \
    CALL(int, msg_recv, (zmq_msg_t *, void *, int))                                                \
    CALL(int, msg_close, (zmq_msg_t *))                                                            \
    CALL(int, errno, (void))                                                                       \
    CALL(const char *, strerror, (int))

typedef struct zmq_calls {
#define CALL(type, name, arguments) type(*zmq_##name) arguments;
    ZMQ_CALLS(CALL)
#undef CALL
} zmq_calls;

static zmq_calls lib;

static inline void zmq_load(void) {
    static const struct {
        const char *name;
        size_t offset;
    } calls[] = {
#define CALL(type, name, arguments) {"zmq_" #name, offsetof(zmq_calls, zmq_##name)},
        ZMQ_CALLS(CALL)
#undef CALL
    };
    void *library = dlopen(ZMQ_LIBRARY, RTLD_NOW);
    if (!library)
        child_die("%s", dlerror());
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        void *found = dlsym(library, calls[i].name);
        if (!found)
            child_die("%s has no %s", ZMQ_LIBRARY, calls[i].name);
        memcpy((char *)&lib + calls[i].offset, &found, sizeof found);
    }
}

#endif
