/* HOST:PORT in all its forms, and what clients are told to dial. */
#include "service/boot.h"
#include "support/suite.h"

static const struct {
    const char *address, *host; /* host NULL: refused */
    int port;
} splits[] = {
    {"127.0.0.1:80", "127.0.0.1", 80},
    {":0", "", 0},
    {"[::1]:8081", "::1", 8081},
    {"h.example:65535", "h.example", 65535},
    {"h:65536", NULL, 0},
    {"h", NULL, 0},
    {"h:", NULL, 0},
    {"h:8x", NULL, 0},
    {"h:-1", NULL, 0},
};

START_TEST(addresses_are_taken_apart)
{
    char host[256], joined[288];
    int port;
    bool ok = sk_address_split(splits[_i].address, host, &port);
    ck_assert_int_eq(ok, splits[_i].host != NULL);
    if (!ok) return;
    ck_assert_str_eq(host, splits[_i].host);
    ck_assert_int_eq(port, splits[_i].port);
    sk_address_join(host, port, joined);
    ck_assert_str_eq(joined, splits[_i].address);
}
END_TEST

static const struct {
    const char *advertise, *bound, *host; /* host "*": some IPv4 address; NULL: refused */
    int port, scheme;
} told[] = {
    {"", "10.1.2.3:10911", "10.1.2.3", 10911, 1},
    {"", "[::1]:10911", "::1", 10911, 2},
    {"", "localhost:1", "localhost", 1, 3},
    {"", "0.0.0.0:7", "*", 7, 1},
    {"", ":7", "*", 7, 1},
    {"broker.example", "0.0.0.0:7", "broker.example", 7, 3},
    {"broker.example:99", "0.0.0.0:7", "broker.example", 99, 3},
    {"1.2.3.4:99", "127.0.0.1:7", "1.2.3.4", 99, 1},
    {"fe80::1", "127.0.0.1:7", "fe80::1", 7, 2},
    {"[fe80::1]:99", "127.0.0.1:7", "fe80::1", 99, 2},
    {"host:0", "127.0.0.1:7", NULL, 0, 0},
    {":99", "127.0.0.1:7", NULL, 0, 0},
};

START_TEST(clients_are_told_what_they_can_dial)
{
    struct sk_advertised a;
    struct sk_status s = sk_advertise(told[_i].advertise, told[_i].bound, &a);
    ck_assert_int_eq(sk_ok(s), told[_i].host != NULL);
    if (!sk_ok(s)) return;
    if (told[_i].host[0] == '*')
        ck_assert_str_ne(a.host, "0.0.0.0");
    else
        ck_assert_str_eq(a.host, told[_i].host);
    ck_assert_int_eq(a.port, told[_i].port);
    ck_assert_int_eq(a.scheme, told[_i].scheme);
}
END_TEST

static Suite *address_suite(void)
{
    Suite *suite = suite_create("service/address");
    TCase *tc = tcase_create("addresses");
    tcase_add_loop_test(tc, addresses_are_taken_apart, 0, ROWS(splits));
    tcase_add_loop_test(tc, clients_are_told_what_they_can_dial, 0, ROWS(told));
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(address_suite)
