/* fuzz_http.c - any bytes at the ports of a running server: instead of HTTP/2, and as its frames.
 *
 * The input: how u8, then frames, each
 *
 *      type u8 | flags u8 | stream u8 | length u16 | payload
 *
 * how: 1 the rest is no frames but bytes as they are; 2 without the preface and SETTINGS; 4 at the
 * TLS port; 8 hang up without waiting for the server's last word.
 *
 * After every input a well-behaved client is answered, over plaintext and now and then over TLS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "fixture.h"

enum { RAW = 1, NO_PREFACE = 2, TLS_PORT = 4, HANG_UP = 8 };
enum { FRAME = 5, FRAME_HEADER = 9, ROOM = 1 << 16, PATIENCE_MS = 100, TLS_EVERY = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct place place;
static uint64_t inputs;

static void close_it(void)
{
    place_close(&place);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    place_open(&place, NULL, 0);
    atexit(close_it);
    return 0;
}

/* --- what is thrown -----------------------------------------------------------------------------
 */

struct stuff {
    uint8_t bytes[ROOM];
    size_t len;
};

static void put(struct stuff *s, const void *data, size_t len)
{
    if (len > ROOM - s->len) len = ROOM - s->len;
    if (len) memcpy(s->bytes + s->len, data, len);
    s->len += len;
}

static void put_frame(struct stuff *s, unsigned type, unsigned flags, unsigned stream,
                      const uint8_t *payload, size_t len)
{
    const uint8_t head[FRAME_HEADER] = {
        0, (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type, (uint8_t)flags, 0, 0,
        0, (uint8_t)stream};
    put(s, head, sizeof head);
    put(s, payload, len);
}

static void put_frames(struct stuff *s, const uint8_t *p, const uint8_t *end)
{
    while (end - p >= FRAME) {
        size_t len = sk_get_u16(p + 3), left = (size_t)(end - p) - FRAME;
        if (len > left) len = left;
        put_frame(s, p[0], p[1], p[2], p + FRAME, len);
        p += FRAME + len;
    }
}

static void throw_at(int port, const struct stuff *s, bool wait)
{
    static uint8_t heard[ROOM];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    const struct linger reset = {.l_onoff = 1}; /* else the ports run out */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    sk_assert(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    for (size_t at = 0; at < s->len;) {
        ssize_t n = send(fd, s->bytes + at, s->len - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    while (wait && recv(fd, heard, sizeof heard, 0) > 0) continue;
    close(fd);
}

/* --- what must go on ----------------------------------------------------------------------------
 */

static void answers(rpc_channel *channel)
{
    static char name[] = "orders";
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = name;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    request.topic = &topic;
    const rmq_query_route_response *response;
    struct sk_status s = rmq_messaging_service_query_route_wait(channel, &as_client, &request,
                                                                place.arena, &response);
    sk_assert(sk_ok(s) && response->status != NULL);
    sk_arena_reset(place.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stuff stuff;
    unsigned how = size ? data[0] : RAW;
    stuff.len = 0;
    if (!(how & NO_PREFACE)) {
        put(&stuff, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
        put_frame(&stuff, 4, 0, 0, NULL, 0);
    }
    if (size > 1 && how & RAW) put(&stuff, data + 1, size - 1);
    if (size > 1 && !(how & RAW)) put_frames(&stuff, data + 1, data + size);
    throw_at(how & TLS_PORT ? place.tls_port : place.port, &stuff, !(how & HANG_UP));
    answers(place.channel);
    if (++inputs % TLS_EVERY == 0) answers(place.tls_channel);
    return 0;
}
