/* recv_libzmq: the baseline: zmq_msg_recv and discard.
 *
 *   recv_libzmq default|tuned PORT WARM COUNT
 *
 * tuned: no high-water mark and a receive buffer of 4 MiB. Debian's libzmq has no draft API, so
 * ZMQ_IN_BATCH_SIZE cannot be raised. */
#include "child.h"
#include "zmq_load.h"

int main(int argc, char **argv) {
    if (argc != 5)
        child_die("usage: recv_libzmq default|tuned PORT WARM COUNT");
    zmq_load();
    void *context = lib.zmq_ctx_new(), *socket = lib.zmq_socket(context, ZMQ_PULL);
    if (strcmp(argv[1], "tuned") == 0) {
        const int unlimited = 0, buffer = 4 << 20;
        lib.zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
        lib.zmq_setsockopt(socket, ZMQ_RCVBUF, &buffer, sizeof buffer);
    }
    char where[64];
    snprintf(where, sizeof where, "tcp://127.0.0.1:%s", argv[2]);
    if (lib.zmq_connect(socket, where) < 0)
        child_die("zmq_connect: %s", lib.zmq_strerror(lib.zmq_errno()));
    child_counter counter = {.warm = child_number(argv[3]), .count = child_number(argv[4])};
    zmq_msg_t message;
    lib.zmq_msg_init(&message);
    for (uint64_t received = 1;; received++) {
        if (lib.zmq_msg_recv(&message, socket, 0) != 64)
            child_die("zmq_msg_recv: not a message of 64 bytes");
        if (received >= counter.warm && child_counted(&counter, received))
            break;
    }
    lib.zmq_msg_close(&message);
    lib.zmq_close(socket);
    lib.zmq_ctx_term(context);
    return 0;
}
