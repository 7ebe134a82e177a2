/* send.c - send one message and wait until it is stored. */
#include <stdio.h>
#include <string.h>

#include "skua/client.h"

int main(int argc, char **argv)
{
    const char *servers = argc > 1 ? argv[1] : "127.0.0.1:8081";
    const char *body = "hello";
    skua_client *client = NULL;
    skua_producer *producer = NULL;
    struct skua_receipt receipt;

    skua_options *options = skua_options_new();
    skua_options_name_servers(options, servers);
    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    if (s.code == SKUA_OK) s = skua_producer_new(client, &producer);
    if (s.code == SKUA_OK) {
        skua_message *message = skua_message_new("hello", body, strlen(body));
        skua_message_set_tag(message, "greeting");
        skua_message_add_key(message, "key-1");
        skua_message_set_property(message, "language", "C");
        s = skua_producer_send(producer, message, &receipt);
        skua_message_free(message);
    }
    if (s.code == SKUA_OK)
        printf("%s is stored on %s at offset %lld\n", receipt.message_id, receipt.broker,
               (long long)receipt.offset);
    else
        fprintf(stderr, "%s: %s\n", skua_code_name(s.code), skua_status_text(&s));
    skua_producer_free(producer);
    skua_client_free(client);
    return s.code == SKUA_OK ? 0 : 1;
}
