/* fuzz_config.c - any bytes as a configuration file: refused or taken, never worse; and
 * what was taken is what --print-config shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/config.h"

struct toy_config {
#define SK_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
#include "../api/base/toy.def"
};

static const struct sk_setting settings[] = {
#define SK_SECTION(title) SK_CONFIG_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_ROW(struct toy_config, __VA_ARGS__)
#include "../api/base/toy.def"
};

static const struct sk_program toy = {
    .name = "toy",
    .summary = "A toy.",
    .settings = settings,
    .count = sizeof settings / sizeof settings[0],
    .values_bytes = sizeof(struct toy_config),
};

/* Every value in force must be one that the table takes again. */
static void check(const sk_config *config)
{
    struct toy_config again;
    sk_config *copy = sk_config_new(&toy, &again);
    for (size_t i = 0; i < toy.count; i++) {
        const char *name = toy.settings[i].name;
        if (!name) continue;
        char *origin = sk_config_origin(config, name);
        sk_assert(origin != NULL);
        free(origin);
        sk_assert(sk_ok(sk_config_set(copy, name, sk_config_text(config, name), SK_FROM_FLAG)));
    }
    sk_config_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct toy_config values;
    int fd = memfd_create("config", 0);
    sk_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    sk_config *config = sk_config_new(&toy, &values);
    struct sk_status s = sk_config_read_file(config, path);
    sk_assert(sk_ok(s) || s.detail[0]);
    check(config);
    sk_config_free(config);
    close(fd);
    return 0;
}
