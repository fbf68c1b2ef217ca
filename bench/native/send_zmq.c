/* send_zmq: the plan through a libzmq PUSH socket, bound to a free port; one message a sample.
 * Obeys child.h, "pace RATE COUNT" and "tail?".
 *
 *   send_zmq packed|json */
#include "child.h"
#include "pace.h"
#include "plan.h"
#include "zmq_load.h"

static plan the_plan;
static plan_writer writer;
static plan_expected expected;
static void *socket_;
static uint64_t sent, tails;

static void put(uint64_t i, plan_sample sample) {
    uint8_t message[PLAN_MESSAGE_BYTES];
    plan_write(&writer, 7, i, sample, message);
    if (lib.zmq_send(socket_, message, sizeof message, 0) < 0)
        child_die("zmq_send: %s", lib.zmq_strerror(lib.zmq_errno()));
}

static void flush(void) {} /* libzmq's own thread does */

static void obey_pace(const char *line) {
    static const pace_line into = {.put = put, .flush = flush};
    unsigned long long rate = 0, count = 0;
    if (sscanf(line, "pace %llu %llu", &rate, &count) != 2 || rate == 0)
        child_die("pace RATE COUNT, not %s", line);
    pace(&into, &the_plan, sent, count, rate);
    sent += count;
}

/* A further tail stands as far behind the one before: it tells what that one folded. */
static void put_tail(void) {
    for (uint32_t tag = 0; tag < PLAN_TAGS; tag++) {
        plan_sample sample = plan_sample_tail(&the_plan, sent, tag);
        sample.time_ns += (int64_t)tails * PLAN_TAIL_NS;
        put(sent + tails * PLAN_TAGS + tag, sample);
    }
    tails++;
}

static void obey(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "send ", 5) == 0)
            for (uint64_t end = sent + child_number(line + 5); sent < end; sent++)
                put(sent, plan_sample_at(&the_plan, sent));
        else if (strncmp(line, "pace ", 5) == 0)
            obey_pace(line);
        else if (strncmp(line, "tail?", 5) == 0)
            plan_tail_print(&the_plan, sent);
        else
            put_tail();
    }
    for (uint64_t i = 0; i < sent; i++) /* values and tags do not depend on the stamps */
        plan_expect(&expected, plan_sample_at(&the_plan, i));
    plan_expect_print(&expected);
}

int main(int argc, char **argv) {
    if (argc != 2)
        child_die("usage: send_zmq packed|json");
    zmq_load();
    plan_writer_init(&writer, strcmp(argv[1], "json") == 0);
    the_plan = PLAN_DEFAULT;
    void *context = lib.zmq_ctx_new();
    socket_ = lib.zmq_socket(context, ZMQ_PUSH);
    const int queue = 100000, linger = 0;
    lib.zmq_setsockopt(socket_, ZMQ_SNDHWM, &queue, sizeof queue);
    lib.zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
    char where[64];
    size_t size = sizeof where;
    if (lib.zmq_bind(socket_, "tcp://127.0.0.1:*") < 0 ||
        lib.zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, where, &size) < 0)
        child_die("zmq_bind: %s", lib.zmq_strerror(lib.zmq_errno()));
    printf("port %s opening 0\n", strrchr(where, ':') + 1);
    fflush(stdout);
    obey();
    lib.zmq_close(socket_);
    lib.zmq_ctx_term(context);
    return 0;
}
