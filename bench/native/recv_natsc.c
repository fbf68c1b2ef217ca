/* recv_natsc: the baseline: nats.c, asynchronous subscription, the callback discards.
 *
 *   recv_natsc default|tuned PORT WARM COUNT
 *
 * Pending limits are off in both, so that flat-out input is not dropped as a slow consumer's.
 * tuned: an I/O buffer of 256 KiB. */
#include "child.h"

#include <nats/nats.h>
#include <pthread.h>
#include <string.h>

static child_counter counter;
static uint64_t received;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_done = PTHREAD_COND_INITIALIZER;

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *closure) {
    (void)connection, (void)subscription, (void)closure;
    if (natsMsg_GetDataLength(message) != 64)
        child_die("not a message of 64 bytes");
    natsMsg_Destroy(message);
    if (++received < counter.warm || !child_counted(&counter, received))
        return;
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&is_done);
    pthread_mutex_unlock(&lock);
}

static void must(natsStatus status, const char *what) {
    if (status != NATS_OK)
        child_die("%s: %s", what, natsStatus_GetText(status));
}

int main(int argc, char **argv) {
    if (argc != 5)
        child_die("usage: recv_natsc default|tuned PORT WARM COUNT");
    counter = (child_counter){.warm = child_number(argv[3]), .count = child_number(argv[4])};
    natsOptions *options;
    natsConnection *connection;
    natsSubscription *subscription;
    char where[64];
    snprintf(where, sizeof where, "nats://127.0.0.1:%s", argv[2]);
    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetURL(options, where), "url");
    if (strcmp(argv[1], "tuned") == 0)
        must(natsOptions_SetIOBufSize(options, 256 * 1024), "buffer");
    pthread_mutex_lock(&lock);
    must(natsConnection_Connect(&connection, options), "connect");
    must(natsConnection_Subscribe(&subscription, connection, "tel.>", on_message, NULL),
         "subscribe");
    must(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    pthread_cond_wait(&is_done, &lock);
    pthread_mutex_unlock(&lock);
    _Exit(0); /* the server is no NATS server: an orderly end would wait for its answers */
}
