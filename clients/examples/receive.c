/* receive.c - a member of a group: receive, work, acknowledge. */
#include <stdio.h>

#include "skua/client.h"

int main(int argc, char **argv)
{
    skua_client *client = NULL;
    skua_consumer *consumer = NULL;
    skua_options *options = skua_options_new();
    skua_options_name_servers(options, argc > 1 ? argv[1] : "127.0.0.1:8081");
    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    if (s.code == SKUA_OK) s = skua_consumer_new(client, "readers", &consumer);
    if (s.code == SKUA_OK) s = skua_consumer_subscribe(consumer, "hello", "*");

    /* Until none came for ten seconds. What is not acknowledged within 30 s comes again. */
    for (size_t count = 1; s.code == SKUA_OK && count > 0;) {
        skua_messages *list = NULL;
        s = skua_consumer_receive(consumer, 16, 30000, 10000, &list);
        count = skua_messages_count(list);
        for (size_t i = 0; i < count; i++) {
            size_t len;
            const skua_message *m = skua_messages_at(list, i);
            const char *body = skua_message_body(m, &len);
            printf("%s attempt %d: %.*s\n", skua_message_id(m), skua_message_attempt(m), (int)len,
                   body);
        }
        if (s.code == SKUA_OK && count) s = skua_consumer_ack_all(consumer, list);
        skua_messages_free(list);
    }
    if (s.code != SKUA_OK)
        fprintf(stderr, "%s: %s\n", skua_code_name(s.code), skua_status_text(&s));
    skua_consumer_free(consumer);
    skua_client_free(client);
    return s.code == SKUA_OK ? 0 : 1;
}
