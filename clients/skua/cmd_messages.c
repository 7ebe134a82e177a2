/* cmd_messages.c - skua send, skua receive, skua pull. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/thread.h"
#include "output.h"
#include "progress.h"

/* --- send ------------------------------------------------------------------------------ */

enum { WINDOW = 256, WINDOW_BYTES = 64 << 20, READ_BYTES = 65536, BODY_MAX = 4194304 };

/* Sends under way. Results are printed in the order of sending: `ring` holds those that came
 * back early. */
struct sending {
    struct cli *cli;
    struct sk_mutex lock;
    struct sk_cond room;
    struct slot {
        bool done;
        struct skua_status status;
        struct skua_receipt receipt;
        struct sending *owner;
    } ring[WINDOW];
    uint64_t begun, printed, count; /* guarded by lock */
    struct skua_status first;       /* the first failure; guarded by lock */
    uint64_t failed;
};

static void on_sent(void *arg, const struct skua_status *status,
                    const struct skua_receipt *receipts, size_t count)
{
    struct slot *slot = arg;
    struct sending *s = slot->owner;
    sk_mutex_lock(&s->lock);
    slot->status = *status;
    if (count) slot->receipt = receipts[0];
    slot->done = true;
    sk_cond_signal(&s->room);
    sk_mutex_unlock(&s->lock);
}

static void print_sent(struct cli *cli, const struct skua_receipt *r)
{
    if (cli->json) {
        out_json(cli, json_pack("{s:s, s:s, s:s, s:I}", "message_id", r->message_id, "topic",
                                cli->arguments[0], "broker", r->broker, "offset",
                                (json_int_t)r->offset));
    } else {
        fprintf(cli->out, "%s  %s  offset %lld\n", r->message_id, r->broker, (long long)r->offset);
    }
}

/* Print what is finished, oldest first; wait until fewer than `limit` are under way. */
static void settle(struct sending *s, uint64_t limit, struct progress *progress)
{
    sk_mutex_lock(&s->lock);
    while (s->begun > s->printed) {
        struct slot *slot = &s->ring[s->printed % WINDOW];
        if (!slot->done) {
            if (s->begun - s->printed < limit) break;
            sk_cond_wait(&s->room, &s->lock);
            continue;
        }
        struct slot copy = *slot;
        slot->done = false;
        s->printed++;
        sk_mutex_unlock(&s->lock);
        if (copy.status.code == SKUA_OK) print_sent(s->cli, &copy.receipt);
        progress_show(progress, s->printed, s->count);
        sk_mutex_lock(&s->lock);
        if (copy.status.code != SKUA_OK && s->failed++ == 0) s->first = copy.status;
    }
    sk_mutex_unlock(&s->lock);
}

static bool read_file(struct cli *cli, const char *path, struct sk_buffer *out, int *exit)
{
    FILE *f = strcmp(path, "-") == 0 ? cli->in : fopen(path, "rbe");
    if (!f) {
        *exit = cli_error(cli, errno == ENOENT ? CLI_NOT_FOUND : CLI_FAILURE,
                          "--file FILE names a file to send; --file - reads stdin",
                          "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    size_t n;
    char buffer[READ_BYTES];
    while (out->len <= BODY_MAX && (n = fread(buffer, 1, sizeof buffer, f)) > 0)
        sk_buffer_put(out, buffer, n);
    int why = ferror(f) ? errno : 0;
    if (f != cli->in) fclose(f);
    if (why)
        *exit =
            cli_error(cli, CLI_FAILURE, "--file FILE names a file to send; --file - reads stdin",
                      "cannot read %s: %s", path, strerror(why));
    return !why;
}

/* The body from --body or --file: exactly one of them. */
static bool read_body(struct cli *cli, struct sk_buffer *out, int *exit)
{
    const char *text = cli_text(cli, "body"), *file = cli_text(cli, "file");
    if (!text == !file) {
        *exit = cli_error(cli, CLI_USAGE, "for example: skua send orders --body hello",
                          text ? "--body and --file exclude each other"
                               : "skua send needs --body TEXT or --file FILE");
        return false;
    }
    if (text)
        sk_buffer_put(out, text, strlen(text));
    else if (!read_file(cli, file, out, exit))
        return false;
    if (out->len == 0) {
        *exit = cli_error(cli, CLI_USAGE, "a message needs at least one byte", "the body is empty");
        return false;
    }
    if (out->len > BODY_MAX) {
        *exit = cli_error(cli, CLI_USAGE, "send a reference to where it lies instead",
                          "the body has more than 4 MiB, the most that a message may have");
        return false;
    }
    return true;
}

static skua_message *new_message(struct cli *cli, const struct sk_buffer *body)
{
    skua_message *m = skua_message_new(cli->arguments[0], body->data, body->len);
    if (cli_text(cli, "tag")) skua_message_set_tag(m, cli_text(cli, "tag"));
    const struct cli_values *keys = cli_all(cli, "key"), *pairs = cli_all(cli, "property");
    for (size_t i = 0; i < keys->count; i++) skua_message_add_key(m, keys->items[i].text);
    for (size_t i = 0; i < pairs->count; i++) {
        const char *text = pairs->items[i].text, *equals = strchr(text, '=');
        char *name = sk_strndup(sk_slice_of(text, (size_t)(equals - text)));
        skua_message_set_property(m, name, equals + 1);
        free(name);
    }
    return m;
}

static void send_all(struct cli *cli, skua_producer *producer, const struct sk_buffer *body,
                     struct sending *s)
{
    struct progress progress = progress_begin(cli, "sent");
    uint64_t window = WINDOW_BYTES / body->len + 1;
    while (s->begun < s->count) {
        settle(s, window < WINDOW ? window : WINDOW, &progress);
        if (s->failed) break;
        struct slot *slot = &s->ring[s->begun % WINDOW];
        skua_message *m = new_message(cli, body);
        slot->owner = s;
        s->begun++;
        skua_producer_send_async(producer, &m, 1, on_sent, slot);
        skua_message_free(m);
    }
    settle(s, 1, &progress);
    progress_end(&progress);
}

/* NULL: the usual one. */
static const char *send_hint(int32_t reply)
{
    switch (reply) {
    case 40014:
        return "skua send sends normal messages; skua topic describe TOPIC shows its type";
    case 40007:
        return "choose another --property name";
    case 43101:
        return "send large values in the body instead";
    default:
        return NULL;
    }
}

int cmd_send(struct cli *cli)
{
    int exit = CLI_OK;
    struct sk_buffer body = {0};
    skua_producer *producer = NULL;
    if (!read_body(cli, &body, &exit)) {
        sk_buffer_done(&body);
        return exit;
    }
    skua_client *client = out_connect(cli, &exit);
    if (client) {
        struct sending *s = sk_zalloc(1, sizeof *s);
        s->cli = cli;
        s->count = (uint64_t)cli_number(cli, "count");
        sk_mutex_init(&s->lock);
        sk_cond_init(&s->room);
        struct skua_status status = skua_producer_new(client, &producer);
        if (status.code == SKUA_OK) {
            send_all(cli, producer, &body, s);
            status = s->first;
        }
        if (status.code != SKUA_OK) {
            if (s->count > 1)
                cli_note(cli, "%llu of %llu messages were sent",
                         (unsigned long long)(s->printed - s->failed),
                         (unsigned long long)s->count);
            exit = cli_fail(cli, status, send_hint(status.reply));
        }
        skua_producer_free(producer);
        sk_cond_done(&s->room);
        sk_mutex_done(&s->lock);
        free(s);
    }
    skua_client_free(client);
    sk_buffer_done(&body);
    return exit;
}

/* --- printing messages ----------------------------------------------------------------- */

static void print_messages(struct cli *cli, const skua_messages *list, size_t count, bool delivered,
                           bool first)
{
    if (!cli->json) {
        out_messages_table(cli, list, count, first);
    } else {
        for (size_t i = 0; i < count; i++)
            out_json(cli, out_message_json(skua_messages_at(list, i), delivered));
    }
    fflush(cli->out);
}

/* --- receive --------------------------------------------------------------------------- */

static int receive_all(struct cli *cli, skua_consumer *consumer)
{
    uint64_t want = (uint64_t)cli_number(cli, "count"), got = 0;
    uint64_t wait_ms = (uint64_t)cli_number(cli, "wait");
    uint64_t invisible_ms = (uint64_t)cli_number(cli, "invisible");
    bool ack = !cli_has(cli, "no-ack");
    while (got < want) {
        skua_messages *list = NULL;
        size_t max = want - got > 32 ? 32 : (size_t)(want - got);
        struct skua_status s = skua_consumer_receive(consumer, max, invisible_ms, wait_ms, &list);
        if (s.code != SKUA_OK) return cli_fail(cli, s, NULL);
        size_t count = skua_messages_count(list);
        if (count == 0) {
            skua_messages_free(list);
            cli_note(cli, "no %smessage within %gs", got ? "other " : "", (double)wait_ms / 1000);
            return CLI_OK;
        }
        print_messages(cli, list, count, true, got == 0);
        got += count;
        if (ferror(cli->out)) ack = false; /* nobody saw it */
        if (ack) s = skua_consumer_ack_all(consumer, list);
        skua_messages_free(list);
        if (s.code != SKUA_OK)
            return cli_fail(cli, s,
                            "the group may get these messages again; a longer --invisible "
                            "leaves more time");
        if (ferror(cli->out)) return CLI_FAILURE;
    }
    return CLI_OK;
}

int cmd_receive(struct cli *cli)
{
    int exit = CLI_OK;
    skua_consumer *consumer = NULL;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct skua_status s = skua_consumer_new(client, cli_text(cli, "group"), &consumer);
    if (s.code == SKUA_OK)
        s = skua_consumer_subscribe(consumer, cli->arguments[0], cli_text(cli, "filter"));
    exit = s.code == SKUA_OK ? receive_all(cli, consumer) : cli_fail(cli, s, NULL);
    skua_consumer_free(consumer);
    skua_client_free(client);
    return exit;
}

/* --- pull ------------------------------------------------------------------------------ */

/* The queue that --queue and --broker name; several brokers may have it. */
static bool find_queue(struct cli *cli, skua_puller *puller, struct skua_queue *out, int *exit)
{
    struct skua_queue *queues = NULL;
    size_t count = 0, found = 0;
    char names[512] = "";
    const char *broker = cli_text(cli, "broker");
    struct skua_status s = skua_puller_queues(puller, cli->arguments[0], &queues, &count);
    if (s.code != SKUA_OK) {
        *exit = cli_fail(cli, s, NULL);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (queues[i].id != (int32_t)cli_number(cli, "queue")) continue;
        if (broker && strcmp(broker, queues[i].broker) != 0) continue;
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? " or " : "", queues[i].broker);
        *out = queues[i];
        found++;
    }
    free(queues);
    if (found == 1) return true;
    if (found == 0)
        *exit = cli_error(cli, CLI_NOT_FOUND, "skua route TOPIC shows the queues",
                          "topic %s has no queue %lld%s%s", cli->arguments[0],
                          (long long)cli_number(cli, "queue"), broker ? " on broker " : "",
                          broker ? broker : "");
    else
        *exit = cli_error(cli, CLI_USAGE, "add --broker NAME, one of those",
                          "%s have a queue %lld each", names, (long long)cli_number(cli, "queue"));
    return false;
}

static struct skua_status find_offset(struct cli *cli, skua_puller *puller,
                                      const struct skua_queue *queue, int64_t *out)
{
    int64_t number = cli_number(cli, "offset");
    switch (cli_offset_form(cli_text(cli, "offset"))) {
    case OFFSET_BEGINNING:
        return skua_puller_query_offset(puller, queue, SKUA_OFFSET_BEGINNING, 0, out);
    case OFFSET_END:
        return skua_puller_query_offset(puller, queue, SKUA_OFFSET_END, 0, out);
    case OFFSET_TIME:
        return skua_puller_query_offset(puller, queue, SKUA_OFFSET_TIMESTAMP, number, out);
    case OFFSET_NUMBER:
        break;
    }
    *out = number;
    return (struct skua_status){.code = SKUA_OK};
}

static int pull_all(struct cli *cli, skua_puller *puller, const struct skua_queue *queue)
{
    uint64_t want = (uint64_t)cli_number(cli, "count"), got = 0;
    uint64_t wait_ms = (uint64_t)cli_number(cli, "wait");
    int64_t at, next;
    struct skua_status s = find_offset(cli, puller, queue, &at);
    while (s.code == SKUA_OK && got < want) {
        skua_messages *list = NULL;
        size_t max = want - got > 32 ? 32 : (size_t)(want - got);
        s = skua_puller_pull(puller, queue, at, max, wait_ms, &list, &next);
        if (s.code != SKUA_OK) break;
        size_t count = skua_messages_count(list);
        if (count) print_messages(cli, list, count, false, got == 0);
        skua_messages_free(list);
        got += count;
        if (ferror(cli->out)) return CLI_FAILURE;
        if (count == 0 && next == at) {
            cli_note(cli, "end of queue %d on %s at offset %lld", queue->id, queue->broker,
                     (long long)at);
            return CLI_OK;
        }
        at = next;
    }
    if (s.code == SKUA_OK) return CLI_OK;
    return cli_fail(
        cli, s, s.reply == 40019 ? "skua topic describe TOPIC shows what each queue has" : NULL);
}

int cmd_pull(struct cli *cli)
{
    int exit = CLI_OK;
    skua_puller *puller = NULL;
    struct skua_queue queue;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct skua_status s = skua_puller_new(client, NULL, &puller);
    if (s.code != SKUA_OK)
        exit = cli_fail(cli, s, NULL);
    else if (find_queue(cli, puller, &queue, &exit))
        exit = pull_all(cli, puller, &queue);
    skua_puller_free(puller);
    skua_client_free(client);
    return exit;
}
