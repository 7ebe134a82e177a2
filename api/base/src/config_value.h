/* config_value.h - one setting's text as a value, and its rules in words. Private to
 * config*.c. */
#ifndef SK_BASE_CONFIG_VALUE_H
#define SK_BASE_CONFIG_VALUE_H

#include "base/config.h"

/* What a text was parsed to. `hosts` is heap memory, NULL-terminated, each item too. */
struct sk_value {
    bool flag;
    int64_t number;  /* INT, CHOICE */
    uint64_t amount; /* SIZE in bytes, DURATION in ms */
    char **hosts;
    size_t host_count;
};

/* The detail says what was wrong and what would be right, without naming the setting. */
SK_CHECKED struct sk_status sk_value_parse(const struct sk_setting *setting, const char *text,
                                           struct sk_value *out);
void sk_hosts_free(char **hosts);

/* "bool", "duration", "sync|async"… for --help and the docs. */
const char *sk_kind_word(enum sk_setting_kind kind);

/* The name with "-" and "." as "_"; cut at 63 characters, which no setting has. */
void sk_setting_normalise(const char *name, char out[64]);
const struct sk_setting *sk_setting_find(const struct sk_program *program, const char *name);
/* The nearest name of the table, or NULL when nothing is near. */
const char *sk_setting_nearest(const struct sk_program *program, const char *name);

/* sk_config_set with the place for --print-config and error texts ("skua.yaml:3"). */
SK_CHECKED struct sk_status sk_config_put(sk_config *config, const char *name, const char *value,
                                          enum sk_origin origin, const char *place);
SK_CHECKED struct sk_status sk_config_unknown(const struct sk_program *program, const char *place,
                                              const char *name);
const struct sk_program *sk_config_program(const sk_config *config);
/* The file that was read, to be read again. */
void sk_config_keep_file(sk_config *config, const char *file);
/* By the program's own rules, if it has some. */
SK_CHECKED struct sk_status sk_config_check(const sk_config *config);

/* For reading again: into `fresh` what came from flags and environment, … */
SK_CHECKED struct sk_status sk_config_keep_strong(const sk_config *config, sk_config *fresh);
/* … and out of it what differs. */
void sk_config_adopt(sk_config *config, const sk_config *fresh, sk_config_changed_fn *changed,
                     void *arg);

#endif
