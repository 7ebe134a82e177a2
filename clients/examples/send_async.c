/* send_async.c - keep many sends under way at once; a semaphore bounds them. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

#include "skua/client.h"

enum { MESSAGES = 1000, AT_ONCE = 64 };

struct state {
    sem_t room;
    atomic_int stored, failed;
};

/* On the library's thread: count, make room, do not block. */
static void sent(void *arg, const struct skua_status *status, const struct skua_receipt *receipts,
                 size_t count)
{
    struct state *state = arg;
    (void)receipts;
    (void)count;
    atomic_fetch_add(status->code == SKUA_OK ? &state->stored : &state->failed, 1);
    sem_post(&state->room);
}

int main(int argc, char **argv)
{
    static struct state state;
    skua_client *client = NULL;
    skua_producer *producer = NULL;
    skua_options *options = skua_options_new();
    skua_options_name_servers(options, argc > 1 ? argv[1] : "127.0.0.1:8081");
    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    if (s.code == SKUA_OK) s = skua_producer_new(client, &producer);
    if (s.code != SKUA_OK) {
        fprintf(stderr, "%s\n", skua_status_text(&s));
        return 1;
    }

    sem_init(&state.room, 0, AT_ONCE);
    for (int i = 0; i < MESSAGES; i++) {
        char body[32];
        int len = snprintf(body, sizeof body, "message %d", i);
        skua_message *message = skua_message_new("hello", body, (size_t)len);
        sem_wait(&state.room);
        skua_producer_send_async(producer, &message, 1, sent, &state);
        skua_message_free(message); /* it was packed */
    }
    skua_producer_free(producer); /* waits for all of them */
    skua_client_free(client);
    sem_destroy(&state.room);
    printf("%d stored, %d failed\n", atomic_load(&state.stored), atomic_load(&state.failed));
    return atomic_load(&state.failed) ? 1 : 0;
}
