/* cmd_store.c - skua verify, skua dump: a store that no process has open. */
#include <string.h>
#include <sys/stat.h>

#include "output.h"
#include "store/store.h"

/* The numbers of services/broker/state/state.h and store/store.h, for people. */
static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [1] = "topic",
        [2] = "topic_deleted",
        [3] = "group",
        [4] = "group_deleted",
        [5] = "message",
        [6] = "deliver",
        [7] = "ack",
        [8] = "change",
        [9] = "renew",
        [10] = "release",
        [11] = "seek",
        [SK_KIND_EPOCH] = "epoch",
        [SK_KIND_BEGIN] = "begin",
    };
    return kind < sizeof names / sizeof names[0] && names[kind] ? names[kind] : "unknown";
}

static int store_failed(struct cli *cli, struct sk_status s, const char *dir)
{
    char hint[300];
    if (s.code == SK_NOT_FOUND)
        return cli_error(cli, CLI_NOT_FOUND, "DIR is what --data named when the broker ran", "%s",
                         sk_status_text(&s));
    if (s.code == SK_EXISTS)
        return cli_error(cli, CLI_FAILURE, "stop the broker first", "%s", sk_status_text(&s));
    snprintf(hint, sizeof hint, "skua verify %s says what is wrong and where", dir);
    return cli_error(cli, CLI_FAILURE, hint, "%s: %s", dir, sk_status_text(&s));
}

static bool is_directory(struct cli *cli, const char *dir, int *exit)
{
    struct stat st;
    if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) return true;
    *exit = cli_error(cli, CLI_NOT_FOUND, "DIR is what --data named when the broker ran",
                      "there is no directory %s", dir);
    return false;
}

/* --- verify ---------------------------------------------------------------------------- */

struct findings {
    struct cli *cli;
    json_t *array;
};

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    struct findings *f = arg;
    if (!f->cli->json)
        fprintf(f->cli->out, "%s  %s, position %llu: %s\n", is_error ? "WRONG" : "note", file,
                (unsigned long long)position, detail);
    json_array_append_new(f->array,
                          json_pack("{s:b, s:s, s:I, s:s}", "error", (int)is_error, "file", file,
                                    "position", (json_int_t)position, "detail", detail));
}

int cmd_verify(struct cli *cli)
{
    int exit = CLI_OK;
    const char *dir = cli->arguments[0];
    char bytes[32];
    if (!is_directory(cli, dir, &exit)) return exit;
    struct findings findings = {cli, json_array()};
    struct sk_verify_result r = {0};
    struct sk_status s = sk_store_verify(dir, NULL, on_finding, &findings, &r);
    bool whole = sk_ok(s) || s.code == SK_CORRUPT;
    if (whole && cli->json) {
        out_json(cli,
                 json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:O}", "ok", (int)sk_ok(s), "records",
                           (json_int_t)r.records, "bytes", (json_int_t)r.bytes, "segments",
                           (json_int_t)r.segments, "snapshots", (json_int_t)r.snapshots, "errors",
                           (json_int_t)r.errors, "findings", findings.array));
    } else if (whole) {
        fprintf(cli->out, "%s: %llu records, %s in %llu segments, %llu snapshots, %llu errors\n",
                sk_ok(s) ? "whole" : "DAMAGED", (unsigned long long)r.records,
                out_bytes(r.bytes, bytes, sizeof bytes), (unsigned long long)r.segments,
                (unsigned long long)r.snapshots, (unsigned long long)r.errors);
    }
    json_decref(findings.array);
    if (!whole) return store_failed(cli, s, dir);
    if (sk_ok(s)) return CLI_OK;
    return cli_error(cli, CLI_FAILURE, "keep a copy of the directory before you change anything",
                     "%s: %llu errors", dir, (unsigned long long)r.errors);
}

/* --- dump ------------------------------------------------------------------------------ */

struct dump {
    struct cli *cli;
    uint64_t left;
    bool shown; /* something */
};

static json_t *record_json(const struct sk_record *r)
{
    char time[40];
    json_t *o = json_pack("{s:I, s:I, s:i, s:s}", "position", (json_int_t)r->span.begin, "size",
                          (json_int_t)(r->span.end - r->span.begin), "kind", (int)r->kind, "name",
                          kind_name(r->kind));
    if (r->queue != SK_NO_QUEUE) {
        json_object_set_new(o, "queue", json_integer(r->queue));
        json_object_set_new(o, "offset", json_integer((json_int_t)r->offset));
    }
    json_object_set_new(o, "timestamp",
                        json_string(out_time((int64_t)r->time_ms, time, sizeof time)));
    json_object_set_new(o, "epoch", json_integer(r->epoch));
    out_json_body(o, NULL, "payload_base64", r->payload.data, r->payload.len);
    return o;
}

static void print_record(struct cli *cli, const struct sk_record *r)
{
    char time[40];
    fprintf(cli->out, "%12llu  %8llu  %-13s", (unsigned long long)r->span.begin,
            (unsigned long long)(r->span.end - r->span.begin), kind_name(r->kind));
    if (r->queue != SK_NO_QUEUE)
        fprintf(cli->out, "  queue %u offset %llu", r->queue, (unsigned long long)r->offset);
    if (r->kind == SK_KIND_EPOCH) fprintf(cli->out, "  epoch %u", r->epoch);
    fprintf(cli->out, "  %s\n", out_time((int64_t)r->time_ms, time, sizeof time));
}

static bool on_record(void *arg, const struct sk_record *record)
{
    struct dump *d = arg;
    if (!d->cli->json && !d->shown)
        fprintf(d->cli->out, "%12s  %8s  %s\n", "POSITION", "SIZE", "RECORD");
    if (d->cli->json)
        out_json(d->cli, record_json(record));
    else
        print_record(d->cli, record);
    d->shown = true;
    return --d->left > 0 && !ferror(d->cli->out);
}

int cmd_dump(struct cli *cli)
{
    int exit = CLI_OK;
    const char *dir = cli->arguments[0];
    if (!is_directory(cli, dir, &exit)) return exit;
    struct dump dump = {
        .cli = cli,
        .left = cli_has(cli, "count") ? (uint64_t)cli_number(cli, "count") : UINT64_MAX,
    };
    struct sk_status s =
        sk_store_dump(dir, NULL, (uint64_t)cli_number(cli, "from"), on_record, &dump);
    return sk_ok(s) ? CLI_OK : store_failed(cli, s, dir);
}
