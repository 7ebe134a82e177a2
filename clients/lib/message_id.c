/* message_id.c - RocketMQ's message ids, version 1 (protocol.md 5.1).
 *
 *   byte  0      01, the version
 *   byte  1..6   MAC address of this machine
 *   byte  7..8   low 16 bits of the process id
 *   byte  9..12  seconds since 2021-01-01T00:00:00Z, low 32 bits
 *   byte 13..16  counter of this process
 *
 * All big endian, written as 34 upper-case hex digits. Servers keep an id as
 * opaque text. */
#include "internal.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { ID_BYTES = 17 };

/* 2021-01-01T00:00:00Z */
static const uint64_t epoch_seconds = UINT64_C(1609459200);

void message_id_format(const uint8_t mac[6], uint16_t pid, uint32_t seconds, uint32_t sequence,
                       char out[ID_TEXT])
{
    static const char digits[] = "0123456789ABCDEF";
    uint8_t b[ID_BYTES] = {[0] = 1};
    memcpy(b + 1, mac, 6);
    b[7] = (uint8_t)(pid >> 8);
    b[8] = (uint8_t)pid;
    for (int i = 0; i < 4; i++) {
        b[9 + i] = (uint8_t)(seconds >> (24 - 8 * i));
        b[13 + i] = (uint8_t)(sequence >> (24 - 8 * i));
    }
    for (int i = 0; i < ID_BYTES; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * ID_BYTES] = 0;
}

static bool read_mac(const char *interface, uint8_t mac[6])
{
    char path[320];
    unsigned v[6];
    snprintf(path, sizeof path, "/sys/class/net/%s/address", interface);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fscanf(f, "%2x:%2x:%2x:%2x:%2x:%2x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) == 6;
    fclose(f);
    unsigned any = 0;
    for (int i = 0; ok && i < 6; i++) {
        mac[i] = (uint8_t)v[i];
        any |= v[i];
    }
    return ok && any != 0;
}

/* The first interface with an address; else six random bytes, marked as locally made. */
static void find_mac(uint8_t mac[6])
{
    bool found = false;
    DIR *dir = opendir("/sys/class/net");
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        if (e->d_name[0] != '.') found = read_mac(e->d_name, mac);
    if (dir) closedir(dir);
    if (found) return;
    if (getrandom(mac, 6, 0) != 6) memset(mac, 0x42, 6);
    mac[0] = (uint8_t)((mac[0] | 2) & 0xFE);
}

static uint8_t machine[6];
static pthread_once_t machine_once = PTHREAD_ONCE_INIT;
static void find_machine(void)
{
    find_mac(machine);
}

void message_id_next(char out[ID_TEXT])
{
    static _Atomic uint32_t sequence;
    pthread_once(&machine_once, find_machine);
    uint64_t seconds = sk_wall_ms(sk_clock_real()) / 1000 - epoch_seconds;
    message_id_format(machine, (uint16_t)getpid(), (uint32_t)seconds,
                      atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed), out);
}
