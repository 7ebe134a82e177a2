/* commands.c - every command of `skua`, as one table.
 *
 * From these rows come the parser, --help at every level, the suggestions for
 * what was typed wrong, and docs/cli.md. To add a command, add a row and the
 * function that it names. */
#include "cli.h"

/* clang-format off */

#define TOPIC_ARGUMENT {"TOPIC", FLAG_NAME, false, "the topic"}

const struct cli_noun cli_nouns[] = {
    {"dev", "a broker on this machine, for trying, tests and laptops"},
    {"topic", "create, list, describe and delete topics"},
    {"group", "create, list, describe and delete consumer groups"},
    {"send", "send messages"},
    {"receive", "receive and acknowledge messages as a member of a group"},
    {"pull", "read messages at an offset of a queue, without a group"},
    {"route", "which brokers have a topic"},
    {"cluster", "the brokers and how they are"},
    {"bench", "measure sending, receiving and latency"},
    {"verify", "check the store of a stopped broker, every byte"},
    {"dump", "show the records of a stopped broker's store"},
    {"version", "print the version"},
    {"help", "help for any command: skua help topic create"},
};
const size_t cli_noun_count = sizeof cli_nouns / sizeof cli_nouns[0];

const struct flag cli_common_flags[] = {
    {"namesrv", 0, FLAG_SERVERS, "HOST:PORT[,...]",
     "name servers, or the broker of skua dev; also from NAMESRV_ADDR", "127.0.0.1:8081"},
    {"output", 'o', FLAG_CHOICE, "table|json", "how results are printed", "table",
     .choices = "table|json"},
    {"help", 'h', FLAG_SWITCH, NULL, "this help"},
    {NULL},
};

const struct flag cli_connection_flags[] = {
    {"timeout", 0, FLAG_SECONDS, "SECONDS", "longest wait for one answer", "3", .min = 1,
     .max = 3600000},
    {"tls", 0, FLAG_SWITCH, NULL, "connect with TLS (skua dev has its TLS port one above)"},
    {"ca-file", 0, FLAG_TEXT, "FILE", "with --tls: trust these certificates (PEM)"},
    {"insecure", 0, FLAG_SWITCH, NULL, "with --tls: trust any certificate"},
    {NULL},
};

#define BROKER_FLAG {"broker", 0, FLAG_TEXT, "NAME", "only on this broker (default: on all)"}
#define CLUSTER_FLAG                                                                               \
    {"cluster", 0, FLAG_TEXT, "NAME", "only on the brokers of this cluster (default: all)"}
#define YES_FLAG {"yes", 'y', FLAG_SWITCH, NULL, "do not ask"}

#define MESSAGE_KEYS                                                                               \
    {"message_id", "the publisher's id"}, {"topic", "the topic"}, {"broker", "who stored it"},     \
        {"queue", "id of its queue"}, {"offset", "its place in the queue"},                        \
        {"body", "the body, if it is UTF-8"}, {"body_base64", "the body, if it is not UTF-8"},     \
        {"tag", "its tag; absent without one"}, {"keys", "its keys, an array"},                    \
        {"properties", "its properties, an object"},                                               \
        {"born_timestamp", "when it was made, 2026-11-21T10:15:02.123Z"},                          \
        {"store_timestamp", "when the broker stored it"}

#define BENCH_FLAGS(in_flight)                                                                              \
    {"size", 0, FLAG_SIZE, "BYTES", "bytes of each body", "1KiB", .min = 1, .max = 4194304},       \
        {"in-flight", 0, FLAG_NUMBER, "N", "requests under way at once, per connection", in_flight, \
         .min = 1, .max = 100000},                                                                 \
        {"connections", 0, FLAG_NUMBER, "N", "connections", "1", .min = 1, .max = 1000},           \
        {"duration", 0, FLAG_SECONDS, "SECONDS", "how long to measure", "10", .min = 1,            \
         .max = 86400000},                                                                         \
        {"count", 0, FLAG_NUMBER, "N", "stop after so many messages (instead of --duration)",      \
         .min = 1, .max = INT64_C(1000000000000)},                                                 \
        {"server-pid", 0, FLAG_NUMBER, "PID",                                                      \
         "a server on this machine: report its CPU time per message", .min = 1,                    \
         .max = 4194304}

#define BENCH_KEYS                                                                                 \
    {"messages", "messages that succeeded"}, {"errors", "messages that failed"},                   \
        {"seconds", "time measured"}, {"messages_per_second", "rate"},                             \
        {"bytes_per_second", "rate of body bytes"},                                                \
        {"latency_us", "of each request: min, mean, p50, p90, p99, p99_9, p99_99, max"},           \
        {"server_cpu_us_per_message", "with --server-pid"}, {"size", "as asked"},                  \
        {"in_flight", "as asked"}, {"connections", "as asked"}

const struct command cli_commands[] = {
    {
        .noun = "dev",
        .summary = "run a name server and a broker in one process",
        .detail = "Serves everything on one address: it is name server and broker in one, makes topics\n"
                  "and groups that are used for the first time, and keeps what it acknowledged. Without\n"
                  "--data it keeps its data between runs in $XDG_DATA_HOME/skua/dev, which is\n"
                  "~/.local/share/skua/dev. Ctrl-C stops it cleanly.\n"
                  "\n"
                  "When it serves it prints one line on stdout: ready listen=HOST:PORT ...\n"
                  "Java, Go, C++ and C# clients use TLS unless told otherwise: give them the TLS address,\n"
                  "one port above --listen. Its certificate is made at the first start.",
        .flags = {{"listen", 0, FLAG_ADDRESS, "HOST:PORT", "plaintext address; port 0 picks a free one",
                   "127.0.0.1:8081"},
                  {"listen-tls", 0, FLAG_LISTEN, "HOST:PORT|off",
                   "TLS address (default: one port above --listen)"},
                  {"data", 0, FLAG_TEXT, "DIR", "where messages are kept"},
                  {"flush", 0, FLAG_CHOICE, "sync|async",
                   "acknowledge after the disk has it, or after the page cache has it", "sync",
                   .choices = "sync|async"},
                  {"set", 0, FLAG_PAIR, "NAME=VALUE", "any setting of docs/configuration.md",
                   .repeat = true}},
        .examples = {"skua dev", "skua dev --listen 127.0.0.1:0 --data /tmp/skua --flush async",
                     "skua dev --set min_invisible_duration=1s"},
        .json = "the ready line as one object",
        .keys = {{"listen", "plaintext address"}, {"listen_tls", "TLS address; absent when off"},
                 {"data", "data directory"}},
    },
    {
        .noun = "topic",
        .verb = "create",
        .summary = "create a topic on every broker",
        .detail = "Creating a topic that is there already, with the same settings, is no error.",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {{"type", 0, FLAG_CHOICE, "TYPE", "normal, fifo, delay, transaction or mixed",
                   "normal", .choices = "normal|fifo|delay|transaction|mixed"},
                  {"queues", 0, FLAG_NUMBER, "N", "queues on each broker", "4", .min = 1,
                   .max = 65536},
                  BROKER_FLAG,
                  CLUSTER_FLAG},
        .examples = {"skua topic create orders", "skua topic create orders --queues 16 --broker broker-a",
                     "skua topic create audit --type fifo -o json"},
        .json = "one object",
        .keys = {{"name", "the topic"}, {"type", "as --type"}, {"queues", "queues on each broker"},
                 {"brokers", "array of {broker, created}; created is false where it was there"}},
        .run = cmd_topic_create,
    },
    {
        .noun = "topic",
        .verb = "list",
        .summary = "list the topics",
        .connects = true,
        .flags = {{"cluster", 0, FLAG_TEXT, "NAME", "only this cluster's"}},
        .examples = {"skua topic list", "skua topic list -o json | jq -r '.topics[].name'"},
        .json = "one object",
        .keys = {{"topics", "array of {name, type, queues, brokers[]}"}},
        .run = cmd_topic_list,
    },
    {
        .noun = "topic",
        .verb = "describe",
        .summary = "show a topic's settings and queues",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {BROKER_FLAG},
        .examples = {"skua topic describe orders",
                     "skua topic describe orders -o json | jq '[.queues[] | .max_offset - .min_offset] | add'"},
        .json = "one object",
        .keys = {{"name", "the topic"}, {"type", "normal, fifo, delay, transaction or mixed"},
                 {"permission", "read_write, read, write or none"},
                 {"queues", "array of {id, broker, min_offset, max_offset}; max_offset is the next message's"}},
        .run = cmd_topic_describe,
    },
    {
        .noun = "topic",
        .verb = "delete",
        .summary = "delete a topic and its messages",
        .detail = "Asks first on a terminal; without a terminal it needs --yes.",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {YES_FLAG, BROKER_FLAG, CLUSTER_FLAG},
        .examples = {"skua topic delete orders", "skua topic delete orders --yes"},
        .json = "one object",
        .keys = {{"name", "the topic"}, {"brokers", "array of the brokers that deleted it"}},
        .run = cmd_topic_delete,
    },
    {
        .noun = "group",
        .verb = "create",
        .summary = "create a consumer group on every broker",
        .connects = true,
        .arguments = {{"GROUP", FLAG_NAME, false, "the consumer group"}},
        .flags = {{"max-attempts", 0, FLAG_NUMBER, "N", "deliver a message at most so often", "17",
                   .min = 1, .max = 1000},
                  {"orderly", 0, FLAG_SWITCH, NULL, "consume each queue in order (FIFO)"},
                  BROKER_FLAG,
                  CLUSTER_FLAG},
        .examples = {"skua group create billing", "skua group create billing --max-attempts 3"},
        .json = "one object",
        .keys = {{"name", "the group"}, {"max_attempts", "as asked"}, {"orderly", "as asked"},
                 {"brokers", "array of {broker, created}"}},
        .run = cmd_group_create,
    },
    {
        .noun = "group",
        .verb = "list",
        .summary = "list the consumer groups",
        .connects = true,
        .flags = {CLUSTER_FLAG},
        .examples = {"skua group list", "skua group list -o json"},
        .json = "one object",
        .keys = {{"groups", "array of {name, max_attempts, orderly, brokers[]}"}},
        .run = cmd_group_list,
    },
    {
        .noun = "group",
        .verb = "describe",
        .summary = "show where a group stands in each queue, and its members",
        .connects = true,
        .arguments = {{"GROUP", FLAG_NAME, false, "the consumer group"}},
        .flags = {BROKER_FLAG},
        .examples = {"skua group describe billing",
                     "skua group describe billing -o json | jq '[.queues[].lag] | add'"},
        .json = "one object",
        .keys = {{"name", "the group"}, {"max_attempts", "deliveries of one message at most"},
                 {"orderly", "FIFO?"}, {"lag", "messages from the first that is not acknowledged to the end, all queues together"},
                 {"queues", "array of {topic, id, broker, min_offset, max_offset, committed_offset, inflight, lag}"},
                 {"clients", "array of {client_id, language, version, address, broker}"}},
        .run = cmd_group_describe,
    },
    {
        .noun = "group",
        .verb = "delete",
        .summary = "delete a consumer group and its progress",
        .detail = "Asks first on a terminal; without a terminal it needs --yes.",
        .connects = true,
        .arguments = {{"GROUP", FLAG_NAME, false, "the consumer group"}},
        .flags = {YES_FLAG, BROKER_FLAG, CLUSTER_FLAG},
        .examples = {"skua group delete billing --yes"},
        .json = "one object",
        .keys = {{"name", "the group"}, {"brokers", "array of the brokers that deleted it"}},
        .run = cmd_group_delete,
    },
    {
        .noun = "send",
        .summary = "send messages to a topic",
        .detail = "Prints one line or object per message, in the order of sending, once it is stored.\n"
                  "--file - reads the body from stdin.",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {{"body", 0, FLAG_TEXT, "TEXT", "the body"},
                  {"file", 0, FLAG_TEXT, "FILE", "the body is this file's content; - is stdin"},
                  {"count", 0, FLAG_NUMBER, "N", "send it N times", "1", .min = 1, .max = 1000000000},
                  {"tag", 0, FLAG_TEXT, "TAG", "its tag, for filters"},
                  {"key", 0, FLAG_TEXT, "KEY", "a key, to find it by", .repeat = true},
                  {"property", 0, FLAG_PAIR, "NAME=VALUE", "a property", .repeat = true}},
        .examples = {"skua send orders --body hello --tag new --key order-17",
                     "skua send orders --file invoice.pdf --property type=pdf",
                     "echo hello | skua send orders --file -",
                     "skua send orders --body x --count 100000 -o json >sent.jsonl"},
        .json = "one object per message (JSON Lines)",
        .keys = {{"message_id", "its id"}, {"topic", "the topic"}, {"broker", "who stored it"},
                 {"offset", "its place in the queue that the broker chose"}},
        .run = cmd_send,
    },
    {
        .noun = "receive",
        .summary = "receive and acknowledge messages as a member of a group",
        .detail = "Waits for messages on all brokers at once. Ends when it has --count messages, or when\n"
                  "none came for --wait seconds; that is no error. A message is acknowledged after it was\n"
                  "printed; with --no-ack the group gets it again after --invisible.",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {{"group", 0, FLAG_NAME, "GROUP", "the consumer group", .required = true},
                  {"count", 0, FLAG_NUMBER, "N", "how many at most", "1", .min = 1, .max = 1000000000},
                  {"wait", 0, FLAG_SECONDS, "SECONDS", "how long to wait for the next message", "5",
                   .min = 0, .max = 86400000},
                  {"no-ack", 0, FLAG_SWITCH, NULL, "do not acknowledge"},
                  {"filter", 0, FLAG_TEXT, "TAGS", "only these tags: A, or A||B", "*"},
                  {"invisible", 0, FLAG_SECONDS, "SECONDS",
                   "how long a message is ours before the group may get it again", "30", .min = 1,
                   .max = 43200000}},
        .examples = {"skua receive orders --group billing",
                     "skua receive orders --group billing --count 100 --wait 10 -o json",
                     "skua receive orders --group billing --filter 'new||paid' --no-ack"},
        .json = "one object per message (JSON Lines)",
        .keys = {MESSAGE_KEYS, {"delivery_attempt", "1 the first time"},
                 {"receipt_handle", "names this delivery"}},
        .run = cmd_receive,
    },
    {
        .noun = "pull",
        .summary = "read messages at an offset of a queue",
        .detail = "Reads and leaves no trace: no group moves. Ends when --count messages were read or the\n"
                  "queue's end is reached.",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .flags = {{"queue", 0, FLAG_NUMBER, "N", "the queue's id", .min = 0, .max = 1000000,
                   .required = true},
                  {"offset", 0, FLAG_OFFSET, "OFFSET",
                   "a number, beginning, end, or a time (2026-11-21T10:00:00Z, @SECONDS)", "beginning"},
                  {"count", 0, FLAG_NUMBER, "N", "how many at most", "32", .min = 1, .max = 1000000000},
                  {"broker", 0, FLAG_TEXT, "NAME", "whose queue (needed where several brokers have it)"},
                  {"wait", 0, FLAG_SECONDS, "SECONDS", "at the end, wait so long for more", "0",
                   .min = 0, .max = 86400000}},
        .examples = {"skua pull orders --queue 0 --offset beginning --count 10",
                     "skua pull orders --queue 3 --offset 4711 --broker broker-a -o json",
                     "skua pull orders --queue 0 --offset 2026-11-21T10:00:00Z"},
        .json = "one object per message (JSON Lines)",
        .keys = {MESSAGE_KEYS},
        .run = cmd_pull,
    },
    {
        .noun = "route",
        .summary = "show where clients are sent for a topic",
        .connects = true,
        .arguments = {TOPIC_ARGUMENT},
        .examples = {"skua route orders", "skua route orders --namesrv ns1:8081,ns2:8081 -o json"},
        .json = "one object",
        .keys = {{"topic", "the topic"},
                 {"queues", "array of {id, broker, broker_id, address, permission, types[]}"}},
        .run = cmd_route,
    },
    {
        .noun = "cluster",
        .summary = "show the brokers, their addresses and health",
        .connects = true,
        .examples = {"skua cluster", "skua cluster --namesrv ns1:8081,ns2:8081 -o json"},
        .json = "one object",
        .keys = {{"brokers",
                  "array of {cluster, broker, broker_id, address, tls_address, version, state, topics, "
                  "silent_ms}, and, where the broker answered, {flush, uptime_ms, log_bytes, log_tail, "
                  "log_flushed, groups, clients, waiting_receives, disk_used_percent}; state is ok, "
                  "suspect or unreachable"}},
        .run = cmd_cluster,
    },
    {
        .noun = "bench",
        .verb = "send",
        .summary = "measure sending",
        .detail = "Makes the topic if it is missing. Numbers include this client.",
        .connects = true,
        .arguments = {{"TOPIC", FLAG_NAME, true, "the topic (default skua-bench)"}},
        .flags = {BENCH_FLAGS("64"),
                  {"batch", 0, FLAG_NUMBER, "N", "messages per request", "1", .min = 1, .max = 1024},
                  {"rate", 0, FLAG_NUMBER, "N",
                   "messages a second, on schedule; latency counts from the scheduled time", .min = 1,
                   .max = 100000000}},
        .examples = {"skua bench send", "skua bench send --size 1KiB --in-flight 64 --duration 30",
                     "skua bench send --batch 64 --in-flight 8 -o json"},
        .json = "one object",
        .keys = {BENCH_KEYS, {"batch", "as asked"}, {"rate", "as asked, with --rate"}},
        .run = cmd_bench_send,
    },
    {
        .noun = "bench",
        .verb = "receive",
        .summary = "measure receiving and acknowledging",
        .detail = "First sends what it is going to receive, unless --no-fill.",
        .connects = true,
        .arguments = {{"TOPIC", FLAG_NAME, true, "the topic (default skua-bench-receive)"}},
        .flags = {BENCH_FLAGS("4"),
                  {"batch", 0, FLAG_NUMBER, "N", "messages per receive", "32", .min = 1, .max = 32},
                  {"group", 0, FLAG_NAME, "GROUP", "the consumer group", "skua-bench"},
                  {"no-fill", 0, FLAG_SWITCH, NULL, "receive what is there"}},
        .examples = {"skua bench receive --count 100000", "skua bench receive orders --no-fill --group g"},
        .json = "one object",
        .keys = {BENCH_KEYS, {"batch", "as asked"}},
        .run = cmd_bench_receive,
    },
    {
        .noun = "bench",
        .verb = "latency",
        .summary = "measure the time from send to receive",
        .detail = "Sends on schedule and counts from the time at which a message should have been sent, so\n"
                  "that a stall is not hidden (no coordinated omission).",
        .connects = true,
        .arguments = {{"TOPIC", FLAG_NAME, true, "the topic (default skua-bench-latency)"}},
        .flags = {BENCH_FLAGS("4"),
                  {"rate", 0, FLAG_NUMBER, "N", "messages a second", "1000", .min = 1, .max = 100000000},
                  {"group", 0, FLAG_NAME, "GROUP", "the consumer group", "skua-bench"}},
        .examples = {"skua bench latency --rate 1000 --duration 30", "skua bench latency --rate 10000 -o json"},
        .json = "one object",
        .keys = {BENCH_KEYS, {"batch", "1"}, {"rate", "as asked"}},
        .run = cmd_bench_latency,
    },
    {
        .noun = "verify",
        .summary = "check the store of a stopped broker",
        .detail = "Reads every byte that recovery or a consumer could meet, changes nothing, and says what\n"
                  "is wrong and where. Ends with 1 if something is.",
        .arguments = {{"DIR", FLAG_TEXT, false, "the data directory"}},
        .examples = {"skua verify ~/.local/share/skua/dev", "skua verify /var/lib/skua -o json"},
        .json = "one object",
        .keys = {{"ok", "true or false"}, {"records", "records read"}, {"bytes", "bytes read"},
                 {"segments", "segment files"}, {"snapshots", "snapshot files"}, {"errors", "how many"},
                 {"findings", "array of {error, file, position, detail}"}},
        .run = cmd_verify,
    },
    {
        .noun = "dump",
        .summary = "show the records of a stopped broker's store",
        .arguments = {{"DIR", FLAG_TEXT, false, "the data directory"}},
        .flags = {{"from", 0, FLAG_NUMBER, "POSITION", "start at this position of the log", "0", .min = 0,
                   .max = INT64_MAX},
                  {"count", 0, FLAG_NUMBER, "N", "how many at most", .min = 1, .max = INT64_MAX}},
        .examples = {"skua dump ~/.local/share/skua/dev --count 20",
                     "skua dump /var/lib/skua --from 1048576 -o json"},
        .json = "one object per record (JSON Lines)",
        .keys = {{"position", "where it begins in the log"}, {"size", "bytes, its frame included"},
                 {"kind", "its number"}, {"name", "what the number means"},
                 {"queue", "queue number, absent for records without"},
                 {"offset", "place in that queue"}, {"timestamp", "when"},
                 {"epoch", "the epoch in which it was written"},
                 {"payload_base64", "its content"}},
        .run = cmd_dump,
    },
    {
        .noun = "version",
        .summary = "print the version",
        .examples = {"skua version", "skua version -o json"},
        .json = "one object",
        .keys = {{"version", "of this program"}, {"protocol", "that it speaks"}},
        .run = cmd_version,
    },
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];
