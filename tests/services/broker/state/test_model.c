/* test_model.c - random operations go to the state machine and to a naive model (model.h).
 *
 * After each operation the choices, leases, cursors, deadlines, topics and groups must agree; now
 * and then the live state, a kept snapshot with the records since, the state saved and loaded, and
 * a replay from the first record must have the same hash, and the run goes on with one of them.
 *
 * Each step draws from (seed, step) alone, so a step can be left out without changing what the
 * others mean: a failure is shrunk to the few steps that it needs, and these are printed. Seeds
 * that once found something are in model_seeds.txt, and come first.
 *
 *     SKUA_MODEL_SEED=n    begin with that seed instead of 1
 *     SKUA_MODEL_RUNS=n    so many seeds
 *     SKUA_MODEL_STEPS=n   so many steps for each */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model_run.h"
#include "support/suite.h"

enum { STEPS = 5000, RUNS = 80, REPLAYED_MOST = 300000 };

struct counts *counts;

#define AS_WEIGHT(name, weight) weight,
#define AS_OPERATION_TEXT(name, weight) #name,
#define AS_FUNCTION_TEXT(name) #name,
static const char *const operation_names[] = {OPERATIONS(AS_OPERATION_TEXT)};
static const char *const function_names[] = {FUNCTIONS(AS_FUNCTION_TEXT)};
static const uint32_t usual_weights[] = {OPERATIONS(AS_WEIGHT)};

const char *const group_names[GROUPS] = {"red", "ns%red", "re"};
const char *const topic_names[TOPICS] = {"letters", "ns%letters", "letter"};

uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

uint32_t below(struct run *r, uint32_t end)
{
    r->random = mix(r->random);
    return (uint32_t)((r->random >> 32) * end >> 32);
}

bool one_in(struct run *r, uint32_t n)
{
    return below(r, n) == 0;
}

static struct world_queue *queue_of(struct run *r, uint32_t topic, uint32_t queue)
{
    return &r->w.queues[r->m.topics[topic].store_queues[queue]];
}

/* --- restarts ---------------------------------------------------------------------------- */

static void load(struct run *r, const struct sk_buffer *snapshot, sk_state *state)
{
    struct sk_status s = call(load)(state, sk_buffer_slice(snapshot));
    must_equal(s.code, SK_OK, "what load says");
}

static void replay(struct run *r, size_t from, sk_state *state)
{
    for (size_t i = from; i < r->w.fact_count; i++) {
        struct sk_status s = call(apply)(state, &r->w.facts[i]);
        must_equal(s.code, SK_OK, "what apply says");
    }
}

/* A snapshot is taken page by page while the run goes on, and is of the moment when it began. */
static void begin_snapshot(struct run *r)
{
    if (r->saving) return;
    call(save_begin)(r->w.state);
    r->saving = true;
    r->pages.len = 0;
    r->pages_facts = r->w.fact_count;
    r->pages_hash = call(hash)(r->w.state);
    tell("snapshot of %zu records", r->pages_facts);
}

static void end_snapshot(struct run *r)
{
    call(save_end)(r->w.state);
    r->saving = false;
    sk_state *loaded = call(new)();
    load(r, &r->pages, loaded);
    must_equal(call(hash)(loaded), r->pages_hash, "the hash of a snapshot taken in pages");
    call(free)(loaded);
    counts->hashes++;
    struct sk_buffer last = r->snapshot;
    r->snapshot = r->pages;
    r->pages = last;
    r->snapshot_facts = r->pages_facts;
    tell("snapshot done");
}

static void take_page(struct run *r)
{
    size_t most = one_in(r, 4) ? 1 : below(r, 600) + 1;
    size_t before = r->pages.len;
    counts->pages++;
    if (!call(save_page)(r->w.state, &r->pages, most)) {
        end_snapshot(r);
        return;
    }
    enum { LONGEST_ROW = 3000 };
    must_equal(r->pages.len - before < most + LONGEST_ROW, true, "'a page is bounded'");
    tell("page of %zu bytes", r->pages.len - before);
}

static void give_up_saving(struct run *r)
{
    if (!r->saving) return;
    call(save_end)(r->w.state);
    r->saving = false;
    tell("snapshot given up");
}

static void on_message(void *owner, uint32_t topic, uint32_t queue, uint32_t store_queue,
                       uint64_t offset, const struct sk_fact *fact)
{
    struct run *r = owner;
    uint32_t t = 0;
    while (t < TOPICS - 1 && topic_id(r, t) != topic) t++;
    must_equal(topic, topic_id(r, t), "the topic that the watcher is told");
    must_equal(store_queue, r->m.topics[t].store_queues[queue], "the queue that it is told");
    must_equal(offset, fact->offset, "the offset that it is told");
    r->watched++;
}

static void watch(struct run *r)
{
    call(watch)(r->w.state, &(struct sk_state_watcher){.message = on_message, .owner = r});
}

/* The same state by three other ways; the run goes on with one of the four. */
static void restart(struct run *r)
{
    while (r->saving && one_in(r, 64) == 0) take_page(r);
    give_up_saving(r);
    r->replayed += r->w.fact_count;
    sk_state *ways[] = {r->w.state, call(new)(), call(new)(), call(new)()};
    struct sk_buffer now = {0};
    call(save)(r->w.state, &now);
    load(r, &now, ways[1]);
    sk_buffer_done(&now);
    if (r->snapshot.len) load(r, &r->snapshot, ways[2]);
    replay(r, r->snapshot_facts, ways[2]);
    replay(r, 0, ways[3]);

    uint64_t hash = call(hash)(r->w.state);
    must_equal(call(hash)(ways[1]), hash, "the hash after save and load");
    must_equal(call(hash)(ways[2]), hash, "the hash of the older snapshot and what came since");
    must_equal(call(hash)(ways[3]), hash, "the hash after a replay of all");
    counts->hashes += 3;
    uint32_t chosen = below(r, 4);
    r->w.state = ways[chosen];
    for (uint32_t i = 0; i < 4; i++)
        if (i != chosen) call(free)(ways[i]);
    watch(r);
    tell("restart by way %u", chosen);
}

/* --- topics and groups ------------------------------------------------------------------- */

static void do_topic(struct run *r, uint32_t t)
{
    uint32_t queues = one_in(r, 8) ? below(r, QUEUES + 1) : below(r, QUEUES) + 1;
    struct sk_topic_change change = {.name = sk_slice_of_text(topic_names[t]),
                                     .type = (enum sk_topic_type)(below(r, 4) + 1),
                                     .mixed = one_in(r, 2),
                                     .read_queues = queues,
                                     .write_queues = one_in(r, 2) ? queues : below(r, QUEUES + 1),
                                     .permission = below(r, 4)};
    struct sk_buffer b = {0};
    call(encode_topic)(&change, &b);
    world_write(&r->w, SK_RECORD_TOPIC, &b);
    sk_buffer_done(&b);
    model_topic(&r->m, t, &change, r->w.now_ms);
    tell("topic %u: %u read queues, %u write queues", t, queues, change.write_queues);
}

static void do_group(struct run *r, uint32_t g)
{
    struct sk_group_change change = {.name = sk_slice_of_text(group_names[g]),
                                     .max_attempts = below(r, 20),
                                     .orderly = one_in(r, 2)};
    struct sk_buffer b = {0};
    call(encode_group)(&change, &b);
    world_write(&r->w, SK_RECORD_GROUP, &b);
    sk_buffer_done(&b);
    model_group(&r->m, g, &change, r->w.now_ms);
    tell("group %u", g);
}

static void do_delete(struct run *r, bool topic, uint32_t which)
{
    if (topic && topic_id(r, which)) {
        used(encode_topic_deleted);
        world_delete_topic(&r->w, topic_names[which]);
        model_topic_deleted(&r->m, which);
        tell("topic %u deleted", which);
    } else if (!topic && group_id(r, which)) {
        used(encode_group_deleted);
        world_delete_group(&r->w, group_names[which]);
        model_group_deleted(&r->m, which);
        tell("group %u deleted", which);
    }
}

/* What was decided before a deletion comes behind it in the log: no effect. */
static void do_late(struct run *r, uint32_t g, uint32_t t)
{
    if (!group_id(r, g) || !topic_id(r, t)) return;
    static struct sk_chosen chosen[8];
    struct sk_queue_view view = world_view(&r->w);
    struct sk_choose how = {.group = group_id(r, g),
                            .topic = topic_id(r, t),
                            .now_ms = r->w.now_ms,
                            .count = 8,
                            .deadline_ms = r->w.now_ms + 100};
    struct sk_buffer deliver = {0}, seek = {0};
    call(choose)(r->w.state, &how, &view, chosen, &deliver);
    call(encode_seek)(how.group, how.topic, 0, 1, &seek);
    do_delete(r, one_in(r, 2), one_in(r, 2) ? g : t);
    bool gone = group_id(r, g) != how.group || topic_id(r, t) != how.topic;
    if (gone && deliver.len) world_write(&r->w, SK_RECORD_DELIVER, &deliver);
    if (gone) world_write(&r->w, SK_RECORD_SEEK, &seek);
    must_equal(call(choose)(r->w.state, &how, &view, chosen, &deliver) > 0 && gone, false,
               "'something is chosen for what is deleted'");
    sk_buffer_done(&deliver);
    sk_buffer_done(&seek);
}

/* --- messages ---------------------------------------------------------------------------- */

static void do_send(struct run *r, uint32_t t)
{
    if (r->m.topics[t].queue_count == 0) return;
    uint32_t queue = below(r, r->m.topics[t].queue_count);
    size_t count = one_in(r, 10) ? below(r, 200) : below(r, 8);
    if (queue_of(r, t, queue)->max + count >= OFFSETS) return;
    tell("send %zu to topic %u queue %u", count, t, queue);
    for (; count > 0; count--) world_send(&r->w, topic_id(r, t), queue, 1, below(r, TAGS));
}

static void do_retain(struct run *r, uint32_t t)
{
    if (r->m.topics[t].queue_count == 0) return;
    uint32_t queue = below(r, r->m.topics[t].queue_count);
    struct world_queue *q = queue_of(r, t, queue);
    q->min += below(r, (uint32_t)(q->visible - q->min) / (one_in(r, 4) ? 1 : 4) + 1);
    tell("topic %u queue %u begins at %" PRIu64, t, queue, q->min);
}

/* What is not durable yet is not seen; later it is. */
static void do_hold_back(struct run *r, uint32_t t)
{
    if (r->m.topics[t].queue_count == 0) return;
    uint32_t queue = below(r, r->m.topics[t].queue_count);
    struct world_queue *q = queue_of(r, t, queue);
    if (q->visible < q->max) {
        q->visible += one_in(r, 2) ? q->max - q->visible : 1;
    } else if (q->max + 3 < OFFSETS) {
        uint64_t shown = q->visible;
        world_send(&r->w, topic_id(r, t), queue, 3, below(r, TAGS));
        q->visible = shown;
    }
    tell("topic %u queue %u is seen up to %" PRIu64, t, queue, q->visible);
}

static void keep_leases(struct run *r, const struct sk_lease *leases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = r->lease_count < LEASES ? r->lease_count++ : below(r, LEASES);
        r->leases[at] = leases[i];
    }
}

static struct world_receive draw_receive(struct run *r, uint32_t g, uint32_t t, uint32_t *tags)
{
    static const uint64_t times_ms[] = {1, 100, 100, 1000, 1000, 30000};
    size_t tag_count = 0;
    for (uint32_t tag = 0; tag < TAGS; tag++)
        if (one_in(r, 2)) tags[tag_count++] = tag;
    return (struct world_receive){.group = group_id(r, g),
                                  .topic = topic_id(r, t),
                                  .first_queue = below(r, 10),
                                  .count = one_in(r, 8)   ? below(r, SK_CHOOSE_MAX + 1)
                                           : one_in(r, 2) ? 1
                                                          : below(r, 33),
                                  .tags = below(r, 3) ? NULL : tags,
                                  .tag_count = tag_count,
                                  .invisible_ms = times_ms[below(r, 6)],
                                  .owner = below(r, 3) + 1,
                                  .auto_renew = one_in(r, 4)};
}

static void do_receive(struct run *r, uint32_t g, uint32_t t)
{
    static struct sk_lease leases[SK_CHOOSE_MAX];
    static struct sk_chosen got[SK_CHOOSE_MAX];
    static struct model_receipt want;
    uint32_t tags[TAGS];
    want.group = g;
    want.topic = t;
    want.count = 0;
    want.how = draw_receive(r, g, t, tags);
    model_receive(&r->m, &r->w, &want);
    size_t facts = r->w.fact_count;
    used(choose);
    size_t count = world_receive(&r->w, &want.how, leases, got);
    tell("receive for group %u from topic %u: %zu of %zu%s%s, for %" PRIu64 " ms", g, t, count,
         want.how.count, want.how.tags ? ", filtered" : "", want.how.auto_renew ? ", renewed" : "",
         want.how.invisible_ms);
    must_equal(count, want.count, "the number of messages chosen");
    for (size_t i = 0; i < count; i++) {
        must_equal(got[i].queue, want.want[i].queue, "a chosen queue");
        must_equal(got[i].store_queue, r->m.topics[t].store_queues[got[i].queue],
                   "a chosen queue's number");
        must_equal(got[i].offset, want.want[i].offset, "a chosen offset");
        must_equal(got[i].attempt, want.want[i].attempt, "a chosen attempt");
    }
    keep_leases(r, leases, count);
    compare_deadline(r, g, t, want.how.count > 0 && r->w.fact_count == facts);
}

/* --- leases ------------------------------------------------------------------------------ */

static void settle(struct run *r, enum sk_record_kind kind, struct sk_lease *some, size_t count,
                   uint64_t deadline_ms)
{
    for (size_t i = 0; i < count; i++)
        model_settle(&r->m, kind, &some[i], deadline_ms,
                     (struct sk_lease_id){r->w.epoch, r->w.position + 100});
    tell("record %d of %zu leases, first %u %u %u:%" PRIu64 ", deadline %+" PRId64 " ms", kind,
         count, some->group, some->topic, some->queue, some->offset,
         (int64_t)(deadline_ms - r->w.now_ms));
    switch (kind) {
    case SK_RECORD_ACK:
        used(encode_ack);
        world_ack(&r->w, some, count);
        break;
    case SK_RECORD_RELEASE:
        used(encode_release);
        world_release(&r->w, some, count);
        break;
    case SK_RECORD_RENEW:
        used(encode_renew);
        world_renew(&r->w, some, count, deadline_ms);
        break;
    default:
        used(encode_change);
        world_change(&r->w, some, deadline_ms);
    }
}

static void do_settle(struct run *r, enum sk_record_kind kind)
{
    struct sk_lease some[32];
    if (r->lease_count == 0) return;
    size_t count = kind == SK_RECORD_CHANGE ? 1 : below(r, 32) + 1;
    size_t at = below(r, (uint32_t)r->lease_count);
    bool in_row = one_in(r, 2);
    for (size_t i = 0; i < count; i++)
        some[i] =
            r->leases[in_row ? (at + i) % r->lease_count : below(r, (uint32_t)r->lease_count)];
    static const uint64_t times_ms[] = {0, 100, 1000, 1000};
    settle(r, kind, some, count, r->w.now_ms + times_ms[below(r, 4)]);
    if (kind != SK_RECORD_CHANGE) return;
    keep_leases(r, some, 1);
    for (uint32_t chain = one_in(r, 4) ? below(r, 20) : 0; chain > 0; chain--)
        settle(r, kind, some, 1, r->w.now_ms + times_ms[below(r, 4)]);
    keep_leases(r, some, 1);
}

static void do_seek(struct run *r, uint32_t g, uint32_t t)
{
    if (r->m.topics[t].queue_count == 0 || !group_id(r, g)) return;
    uint32_t queue = below(r, r->m.topics[t].queue_count);
    struct model_cursor *c = &r->m.cursors[g][t][queue];
    uint32_t end = (uint32_t)queue_of(r, t, queue)->max + 3;
    uint64_t offset = one_in(r, 3) ? below(r, end) : below(r, (uint32_t)c->next + 1);
    used(encode_seek);
    world_seek(&r->w, group_id(r, g), topic_id(r, t), queue, offset);
    model_seek(&r->m, g, t, queue, offset);
    tell("seek of group %u in topic %u queue %u to %" PRIu64, g, t, queue, offset);
}

static void do_time(struct run *r)
{
    static const uint32_t jumps_ms[] = {1, 2, 100, 101, 1000, 3000, 60000, 100000000};
    uint32_t jump = jumps_ms[below(r, one_in(r, 8) ? 8 : 6)];
    r->w.now_ms += one_in(r, 2) ? jump : below(r, 300);
    tell("it is %" PRIu64 " ms", r->w.now_ms);
}

/* --- a run ------------------------------------------------------------------------------- */

static enum operation draw(struct run *r)
{
    uint32_t dice = below(r, r->weight_sum), op = 0;
    while (dice >= r->weights[op]) dice -= r->weights[op++];
    return (enum operation)op;
}

static void perform(struct run *r, enum operation op, uint32_t g, uint32_t t)
{
    switch (op) {
    case OP_SEND:
        do_send(r, t);
        break;
    case OP_RECEIVE:
        do_receive(r, g, t);
        break;
    case OP_ACK:
        do_settle(r, SK_RECORD_ACK);
        break;
    case OP_RELEASE:
        do_settle(r, SK_RECORD_RELEASE);
        break;
    case OP_RENEW:
        do_settle(r, SK_RECORD_RENEW);
        break;
    case OP_CHANGE:
        do_settle(r, SK_RECORD_CHANGE);
        break;
    case OP_SEEK:
        do_seek(r, g, t);
        break;
    case OP_TIME:
        do_time(r);
        break;
    case OP_RETAIN:
        do_retain(r, t);
        break;
    case OP_HOLD_BACK:
        do_hold_back(r, t);
        break;
    case OP_TOPIC:
        do_topic(r, t);
        break;
    case OP_GROUP:
        do_group(r, g);
        break;
    case OP_TOPIC_DELETED:
        do_delete(r, true, t);
        break;
    case OP_GROUP_DELETED:
        do_delete(r, false, g);
        break;
    case OP_LATE:
        do_late(r, g, t);
        break;
    case OP_EPOCH:
        world_new_epoch(&r->w, below(r, 64));
        tell("epoch %u, from position %" PRIu64 " on", r->w.epoch, r->w.position);
        break;
    case OP_SNAPSHOT:
        begin_snapshot(r);
        break;
    default:
        restart(r);
    }
}

static void step(struct run *r, uint64_t number)
{
    r->random = mix(r->trial->seed << 32 ^ number);
    uint32_t g = below(r, GROUPS), t = below(r, TOPICS);
    if (!group_id(r, g) && below(r, 4)) do_group(r, g);
    if (!topic_id(r, t) && below(r, 4)) do_topic(r, t);
    enum operation op = draw(r);
    if (op == OP_RESTART && r->replayed > REPLAYED_MOST) op = OP_SNAPSHOT;
    size_t facts = r->w.fact_count;
    perform(r, op, g, t);
    if (r->saving && one_in(r, 2)) take_page(r);

    counts->operations[op]++;
    for (; facts < r->w.fact_count; facts++) {
        counts->kinds[r->w.facts[facts].kind]++;
        r->messages += r->w.facts[facts].kind == SK_RECORD_MESSAGE;
    }
    must_equal(r->watched, r->messages, "the number of messages that the watcher is told of");
    compare_cursors(r, g, t);
    compare_deadline(r, g, t, false);
    compare_leases(r);
    if (op == OP_RESTART || op == OP_LATE || one_in(r, 32)) compare_catalogue(r);
    if (one_in(r, 16)) call(sweep)(r->w.state); /* must change nothing */
    if (op == OP_RESTART || one_in(r, 16))
        compare_auto_renewed(r, r->w.now_ms + below(r, 2000), below(r, 4));
}

static void perform_run(const struct trial *trial)
{
    struct run *r = calloc(1, sizeof *r);
    r->trial = trial;
    r->random = mix(trial->seed);
    for (int op = 0; op < OP_COUNT; op++) {
        static const uint32_t factors[] = {1, 1, 4, 16};
        r->weights[op] = usual_weights[op] * factors[below(r, 4)];
        r->weight_sum += r->weights[op];
    }
    world_init(&r->w);
    watch(r);
    for (uint64_t n = 0; n < trial->steps; n++) {
        if (trial->without && trial->without[n]) continue;
        trial_at(trial, n);
        step(r, n);
        counts->steps++;
    }
    restart(r);
    counts->runs++;
    used(free);
    world_done(&r->w);
    sk_buffer_done(&r->snapshot);
    sk_buffer_done(&r->pages);
    free(r);
}

static void must_hold(uint64_t seed, uint64_t steps)
{
    char why[4096];
    if (!trial_fails(perform_run, seed, steps, why, sizeof why)) return;
    ck_abort_msg("%s\nadd it to model_seeds.txt: %" PRIu64 " %" PRIu64, why, seed, steps);
}

/* --- tests ------------------------------------------------------------------------------- */

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(seeds_that_once_found_something_hold)
{
    FILE *file = fopen(MODEL_SEEDS, "r");
    char line[256];
    unsigned found = 0;
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        uint64_t seed, steps;
        if (sscanf(line, "%" SCNu64 " %" SCNu64, &seed, &steps) != 2) continue;
        must_hold(seed, steps);
        found++;
    }
    fclose(file);
    ck_assert_uint_gt(found, 0);
}
END_TEST

START_TEST(random_operations_agree_with_the_model)
{
    must_hold(setting("SKUA_MODEL_SEED", 1) + (uint64_t)_i, setting("SKUA_MODEL_STEPS", STEPS));
}
END_TEST

/* A function that is new in state.h belongs into the model. */
START_TEST(every_public_function_is_in_the_model)
{
    FILE *file = fopen(STATE_HEADER, "r");
    char line[512], name[64];
    unsigned found = 0;
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        for (char *at = line; (at = strstr(at, "sk_state_")) != NULL;) {
            at += strlen("sk_state_");
            int len = 0;
            if (sscanf(at, "%63[a-z_]%n", name, &len) != 1 || at[len] != '(') continue;
            int fn = 0;
            while (fn < FN_COUNT && strcmp(function_names[fn], name) != 0) fn++;
            ck_assert_msg(fn < FN_COUNT, "the model does not call sk_state_%s", name);
            found++;
        }
    }
    fclose(file);
    ck_assert_uint_eq(found, FN_COUNT);
}
END_TEST

static void print_counts(const char *what, const char *const *names, const uint64_t *times, int n)
{
    printf("%s:", what);
    for (int i = 0; i < n; i++) printf(" %s %" PRIu64, names[i], times[i]);
    printf("\n");
    for (int i = 0; i < n; i++) ck_assert_msg(times[i] > 0, "%s: never %s", what, names[i]);
}

START_TEST(everything_was_exercised)
{
    static const char *const kinds[] = {"TOPIC",   "TOPIC_DELETED", "GROUP", "GROUP_DELETED",
                                        "MESSAGE", "DELIVER",       "ACK",   "CHANGE",
                                        "RENEW",   "RELEASE",       "SEEK"};
    print_counts("operations", operation_names, counts->operations, OP_COUNT);
    print_counts("records", kinds, counts->kinds + 1, SK_RECORD_SEEK);
    print_counts("functions", function_names, counts->functions, FN_COUNT);
    printf("%" PRIu64 " operations in %" PRIu64 " runs agree with the model, %" PRIu64
           " states by other ways are equal, of %" PRIu64 " pages\n",
           counts->steps, counts->runs, counts->hashes, counts->pages);
}
END_TEST

static Suite *model_suite(void)
{
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Suite *suite = suite_create("broker/state/model");
    TCase *tc = tcase_create("random");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, every_public_function_is_in_the_model);
    tcase_add_test(tc, seeds_that_once_found_something_hold);
    tcase_add_loop_test(tc, random_operations_agree_with_the_model, 0,
                        (int)setting("SKUA_MODEL_RUNS", RUNS));
    tcase_add_test(tc, everything_was_exercised);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(model_suite)
