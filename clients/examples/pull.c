/* pull.c - read every queue of a topic from its beginning, without a group. */
#include <stdio.h>
#include <stdlib.h>

#include "skua/client.h"

static struct skua_status read_queue(skua_puller *puller, const struct skua_queue *queue)
{
    for (;;) {
        skua_messages *list = NULL;
        struct skua_status s = skua_puller_poll(puller, queue, 32, 0, &list);
        size_t count = skua_messages_count(list);
        for (size_t i = 0; i < count; i++) {
            size_t len;
            const skua_message *m = skua_messages_at(list, i);
            const char *body = skua_message_body(m, &len);
            printf("%s/%d/%lld %.*s\n", queue->broker, queue->id, (long long)skua_message_offset(m),
                   (int)len, body);
        }
        skua_messages_free(list);
        if (s.code != SKUA_OK || count == 0) return s;
    }
}

int main(int argc, char **argv)
{
    skua_client *client = NULL;
    skua_puller *puller = NULL;
    struct skua_queue *queues = NULL;
    size_t count = 0;
    skua_options *options = skua_options_new();
    skua_options_name_servers(options, argc > 1 ? argv[1] : "127.0.0.1:8081");
    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    if (s.code == SKUA_OK) s = skua_puller_new(client, NULL, &puller);
    if (s.code == SKUA_OK) s = skua_puller_queues(puller, "hello", &queues, &count);
    for (size_t i = 0; s.code == SKUA_OK && i < count; i++) s = read_queue(puller, &queues[i]);
    if (s.code != SKUA_OK)
        fprintf(stderr, "%s: %s\n", skua_code_name(s.code), skua_status_text(&s));
    free(queues);
    skua_puller_free(puller);
    skua_client_free(client);
    return s.code == SKUA_OK ? 0 : 1;
}
