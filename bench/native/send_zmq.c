/* send_zmq: the plan through a libzmq PUSH socket, bound to a free port; one message a sample.
 *
 *   send_zmq packed|json */
#include "child.h"
#include "plan.h"

#include <zmq.h>

static plan_writer writer;
static plan_expected expected;

static void send_one(void *socket, uint64_t i, plan_sample sample) {
    uint8_t message[PLAN_MESSAGE_BYTES];
    plan_write(&writer, i, sample, message);
    if (zmq_send(socket, message, sizeof message, 0) < 0)
        child_die("zmq_send: %s", zmq_strerror(zmq_errno()));
}

static void obey(void *socket) {
    char line[64];
    uint64_t sent = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "send ", 5) == 0)
            for (uint64_t end = sent + child_number(line + 5); sent < end; sent++)
                send_one(socket, sent, plan_at(sent));
        else
            for (uint32_t tag = 0; tag < PLAN_TAGS; tag++)
                send_one(socket, sent + tag, plan_tail_at(sent, tag));
    }
    for (uint64_t i = 0; i < sent; i++)
        plan_expect(&expected, plan_at(i));
    plan_expect_print(&expected);
}

int main(int argc, char **argv) {
    if (argc != 2)
        child_die("usage: send_zmq packed|json");
    plan_writer_init(&writer, strcmp(argv[1], "json") == 0);
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
    const int queue = 100000, linger = 0;
    zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    char where[64];
    size_t size = sizeof where;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") < 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, where, &size) < 0)
        child_die("zmq_bind: %s", zmq_strerror(zmq_errno()));
    printf("port %s opening 0\n", strrchr(where, ':') + 1);
    fflush(stdout);
    obey(socket);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
