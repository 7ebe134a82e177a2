/* What each kind of client is told in return for its Settings, and which Settings are
 * refused. */
#include "service/settings.h"

#include <string.h>

#include "support/suite.h"

static sk_arena *arena;
static rmq_settings settings;
static rmq_publishing publishing;
static rmq_subscription subscription;
static rmq_resource group;
static rmq_ua agent;
static const struct sk_settings_rules defaults;
static const struct sk_group_facts nothing;

static void setup(void)
{
    static char name[] = "g";
    arena = sk_arena_new(0);
    rmq_settings_init(&settings);
    rmq_publishing_init(&publishing);
    rmq_subscription_init(&subscription);
    rmq_resource_init(&group);
    rmq_ua_init(&agent);
    group.name = name;
    settings.user_agent = &agent;
    rmq_subscription_set_group(&subscription, &group);
}

static void teardown(void)
{
    sk_arena_free(arena);
}

static void be(rmq_client_type type, rmq_language language)
{
    agent.language = language;
    rmq_settings_set_client_type(&settings, type);
    if (type == RMQ_CLIENT_TYPE_PRODUCER)
        rmq_settings_set_publishing(&settings, &publishing);
    else
        rmq_settings_set_subscription(&settings, &subscription);
}

static rmq_settings merge(const struct sk_settings_rules *rules, const struct sk_group_facts *facts)
{
    rmq_settings out;
    struct sk_verdict v = sk_settings_check(&settings);
    ck_assert_msg(sk_granted(v), "%s", v.text);
    v = sk_settings_merge(&settings, rules, facts, arena, &out);
    ck_assert_msg(sk_granted(v), "%s", v.text);
    ck_assert(out.metric && !out.metric->on);
    ck_assert_ptr_eq(out.user_agent, &agent);
    return out;
}

static double seconds(const pb_duration *d)
{
    return (double)d->seconds + d->nanos / 1e9;
}

START_TEST(a_producer_is_told_its_limits)
{
    rmq_resource topic = RMQ_RESOURCE_INIT, *topics[] = {&topic};
    publishing.topics = topics;
    publishing.n_topics = 1;
    be(RMQ_CLIENT_TYPE_PRODUCER, RMQ_LANGUAGE_JAVA);
    rmq_settings out = merge(&defaults, &nothing);
    const rmq_publishing *p = rmq_settings_get_publishing(&out);
    ck_assert_ptr_eq(p->topics[0], &topic); /* echoed */
    ck_assert_int_eq(p->max_body_size, 4194304);
    ck_assert(p->validate_message_type);
    const rmq_retry_policy *retry = rmq_settings_get_backoff_policy(&out);
    ck_assert_int_eq(retry->max_attempts, 3);
    const rmq_exponential_backoff *b = rmq_retry_policy_get_exponential_backoff(retry);
    ck_assert_ptr_nonnull(b);
    ck_assert_double_eq(seconds(b->initial), 0.01);
    ck_assert_double_eq(seconds(b->max), 1.0);
    ck_assert_float_eq(b->multiplier, 2.0f);
    ck_assert_int_eq(publishing.max_body_size, 0); /* the client's own is untouched */
}
END_TEST

START_TEST(configuration_overrules_the_defaults)
{
    struct sk_settings_rules rules = {.max_body_bytes = 1000,
                                      .skip_type_check = true,
                                      .producer_max_attempts = 9,
                                      .producer_backoff_initial_ms = 20,
                                      .receive_batch_size = 7,
                                      .long_polling_ms = 1500};
    be(RMQ_CLIENT_TYPE_PRODUCER, RMQ_LANGUAGE_JAVA);
    rmq_settings out = merge(&rules, &nothing);
    ck_assert_int_eq(rmq_settings_get_publishing(&out)->max_body_size, 1000);
    ck_assert(!rmq_settings_get_publishing(&out)->validate_message_type);
    ck_assert_int_eq(rmq_settings_get_backoff_policy(&out)->max_attempts, 9);
    be(RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA);
    out = merge(&rules, &(struct sk_group_facts){.orderly = true, .max_attempts = 5});
    const rmq_subscription *s = rmq_settings_get_subscription(&out);
    ck_assert_int_eq(rmq_subscription_get_receive_batch_size(s), 7);
    ck_assert_double_eq(seconds(rmq_subscription_get_long_polling_timeout(s)), 1.5);
    ck_assert(rmq_subscription_get_fifo(s));
    ck_assert_int_eq(rmq_settings_get_backoff_policy(&out)->max_attempts, 5);
}
END_TEST

static const struct {
    rmq_client_type type;
    rmq_language language;
    bool exponential, lite;
} consumers[] = {
    {RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA, false, false},
    {RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_PYTHON, false, false},
    {RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_NODE_JS, true, false},
    {RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, RMQ_LANGUAGE_NODE_JS, true, false},
    {RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, RMQ_LANGUAGE_GOLANG, false, false},
    {RMQ_CLIENT_TYPE_PULL_CONSUMER, RMQ_LANGUAGE_CPP, false, false},
    {RMQ_CLIENT_TYPE_LITE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA, false, true},
    {RMQ_CLIENT_TYPE_LITE_SIMPLE_CONSUMER, RMQ_LANGUAGE_PYTHON, false, true},
};

START_TEST(consumers_get_the_back_off_that_they_understand)
{
    be(consumers[_i].type, consumers[_i].language);
    rmq_settings out = merge(&defaults, &nothing);
    const rmq_subscription *s = rmq_settings_get_subscription(&out);
    const rmq_retry_policy *retry = rmq_settings_get_backoff_policy(&out);
    ck_assert_ptr_eq(rmq_subscription_get_group(s), &group); /* echoed */
    ck_assert(rmq_subscription_has_fifo(s) && !rmq_subscription_get_fifo(s));
    ck_assert_int_eq(rmq_subscription_get_receive_batch_size(s), 32);
    ck_assert_double_eq(seconds(rmq_subscription_get_long_polling_timeout(s)), 20);
    ck_assert_int_eq(retry->max_attempts, 17);
    ck_assert_int_eq(rmq_retry_policy_has_exponential_backoff(retry), consumers[_i].exponential);
    if (!consumers[_i].exponential) {
        const rmq_customized_backoff *b = rmq_retry_policy_get_customized_backoff(retry);
        ck_assert_uint_eq(b->n_next, 18);
        ck_assert_double_eq(seconds(b->next[0]), 1);
        ck_assert_double_eq(seconds(b->next[17]), 7200);
    }
    ck_assert_int_eq(rmq_subscription_get_lite_subscription_quota(s),
                     consumers[_i].lite ? 2000 : 0);
    ck_assert_int_eq(rmq_subscription_get_max_lite_topic_size(s), consumers[_i].lite ? 64 : 0);
}
END_TEST

/* --- refusals
 * ------------------------------------------------------------------------------------- */

static char legal_key[] = "team", bad_key[] = "rocketmq.x", digit_key[] = "9a", empty[] = "";
static char value[5000];

static void no_type(void)
{
    rmq_settings_clear_client_type(&settings);
}
static void odd_type(void)
{
    rmq_settings_set_client_type(&settings, (rmq_client_type)42);
}
static void producer_of_nothing(void)
{
    rmq_settings_set_client_type(&settings, RMQ_CLIENT_TYPE_PRODUCER);
}
static void consumer_that_publishes(void)
{
    rmq_settings_set_publishing(&settings, &publishing);
}
static void no_group(void)
{
    rmq_subscription_clear_group(&subscription);
}
static void empty_group(void)
{
    group.name = empty;
}

static void property(char *key, size_t value_bytes)
{
    static rmq_settings_client_properties_entry entry;
    static rmq_settings_client_properties_entry *entries[33];
    rmq_settings_client_properties_entry_init(&entry);
    memset(value, 'v', value_bytes);
    value[value_bytes] = 0;
    entry.key = key;
    entry.value = value;
    for (int i = 0; i < 33; i++) entries[i] = &entry;
    settings.client_properties = entries;
    settings.n_client_properties = 1;
}

static void reserved_property(void)
{
    property(bad_key, 1);
}
static void odd_property(void)
{
    property(digit_key, 1);
}
static void long_property(void)
{
    property(legal_key, 257);
}
static void much_property(void)
{
    property(legal_key, 256);
    settings.n_client_properties = 16;
}
static void many_properties(void)
{
    property(legal_key, 1);
    settings.n_client_properties = 33;
}
static void fine_properties(void)
{
    property(legal_key, 100);
    settings.n_client_properties = 32;
}

static const struct {
    void (*spoil)(void);
    rmq_code want;
} refused[] = {
    {no_type, RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE},
    {odd_type, RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE},
    {producer_of_nothing, RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE},
    {consumer_that_publishes, RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE},
    {no_group, RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {empty_group, RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {reserved_property, RMQ_CODE_INVALID_CLIENT_PROPERTIES},
    {odd_property, RMQ_CODE_INVALID_CLIENT_PROPERTIES},
    {long_property, RMQ_CODE_INVALID_CLIENT_PROPERTIES},
    {much_property, RMQ_CODE_INVALID_CLIENT_PROPERTIES},
    {many_properties, RMQ_CODE_INVALID_CLIENT_PROPERTIES},
    {fine_properties, RMQ_CODE_OK},
};

START_TEST(settings_that_make_no_sense_are_refused)
{
    be(RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA);
    refused[_i].spoil();
    struct sk_verdict v = sk_settings_check(&settings);
    ck_assert_msg(v.code == refused[_i].want, "%s: %s", rmq_code_name((int)v.code), v.text);
}
END_TEST

START_TEST(without_memory_the_merge_is_refused)
{
    rmq_settings out;
    be(RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA);
    for (size_t budget = 1; budget < 1024; budget += 64) {
        sk_arena *poor = sk_arena_new(budget);
        struct sk_verdict v = sk_settings_merge(&settings, &defaults, &nothing, poor, &out);
        ck_assert_int_eq(v.code, RMQ_CODE_TOO_MANY_REQUESTS);
        sk_arena_free(poor);
    }
}
END_TEST

static Suite *settings_suite(void)
{
    Suite *suite = suite_create("service/settings");
    TCase *tc = tcase_create("merge");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_producer_is_told_its_limits);
    tcase_add_test(tc, configuration_overrules_the_defaults);
    tcase_add_loop_test(tc, consumers_get_the_back_off_that_they_understand, 0, ROWS(consumers));
    tcase_add_loop_test(tc, settings_that_make_no_sense_are_refused, 0, ROWS(refused));
    tcase_add_test(tc, without_memory_the_merge_is_refused);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(settings_suite)
