/* address.c - HOST:PORT apart and together, and which host to tell clients. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/boot.h"

bool sk_address_split(const char *address, char host[256], int *port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == 0) return false;
    char *end;
    long number = strtol(colon + 1, &end, 10);
    size_t len = (size_t)(colon - address);
    if (*end || number < 0 || number > 65535) return false;
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len >= 256) return false;
    memcpy(host, address, len);
    host[len] = 0;
    *port = (int)number;
    return true;
}

void sk_address_join(const char *host, int port, char out[288])
{
    bool v6 = strchr(host, ':') != NULL;
    snprintf(out, 288, "%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static bool is_everywhere(const char *host)
{
    return host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ||
           strcmp(host, "*") == 0;
}

static void first_address(char host[256])
{
    struct ifaddrs *list = NULL;
    strcpy(host, "127.0.0.1");
    if (getifaddrs(&list) != 0) return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
        if (!(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
        struct sockaddr_in v4;
        memcpy(&v4, i->ifa_addr, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, host, 256);
        break;
    }
    freeifaddrs(list);
}

static int scheme_of(const char *host)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, host, bytes) == 1) return 1;
    return inet_pton(AF_INET6, host, bytes) == 1 ? 2 : 3;
}

/* HOST, HOST:PORT, [v6]:PORT or a bare v6 address. */
static bool split_advertised(const char *text, char host[256], int *port)
{
    const char *colon = strchr(text, ':');
    bool bare = !colon || (text[0] != '[' && strchr(colon + 1, ':'));
    if (!bare) return sk_address_split(text, host, port) && *port > 0 && host[0];
    if (strlen(text) >= 256) return false;
    strcpy(host, text);
    return true;
}

struct sk_status sk_advertise(const char *advertise, const char *bound, struct sk_advertised *out)
{
    struct sk_advertised a;
    if (!sk_address_split(bound, a.host, &a.port))
        return sk_error(SK_INVALID, "'%.100s' is not HOST:PORT", bound);
    if (advertise && advertise[0]) {
        if (!split_advertised(advertise, a.host, &a.port))
            return sk_error(SK_INVALID,
                            "advertise: '%.100s' is not an address; write HOST or HOST:PORT",
                            advertise);
    } else if (is_everywhere(a.host)) {
        first_address(a.host);
    }
    a.scheme = scheme_of(a.host);
    *out = a;
    return SK_SUCCESS;
}
