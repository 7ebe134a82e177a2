/* names.h - from names in .proto files to names in C.
 *
 * Two families. `names_c_*` gives the names that protoc-gen-c makes, and must agree
 * with it to the letter (tests/api/plugin checks that on awkward names).
 * `names_alias_*` gives ours: short, with the prefix of the package.
 *
 * All results live in the arena given to names_init. */
#ifndef SK_PLUGIN_NAMES_H
#define SK_PLUGIN_NAMES_H

#include <stdbool.h>

#include "base/arena.h"

struct names_package {
    const char *package;
    const char *prefix; /* NULL: known, but without a prefix */
};

/* One identifier that was given out, and for what. */
struct names_claim;

struct names {
    sk_arena *arena;
    struct names_package *packages;
    unsigned package_count;
    struct names_claim *claims;
    const char *error; /* the first thing that went wrong, or NULL */
};

void names_init(struct names *names, sk_arena *arena);
void names_done(struct names *names);

/* Fails quietly after the first error. */
void names_fail(struct names *names, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A later call for the same package wins if it has a prefix. */
void names_add_package(struct names *names, const char *package, const char *prefix);

/* Identifiers that we emit must be unique: the second claim is an error that names both
 * owners. Returns `identifier`. */
const char *names_claim(struct names *names, const char *identifier, const char *owner);

/* printf into the arena. */
const char *names_text(struct names *names, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* --- protoc-gen-c's names. `full` has no leading dot: "apache.rocketmq.v2.UA" -------- */
const char *names_c_type(struct names *names, const char *full);   /* Apache__Rocketmq__V2__UA */
const char *names_c_lower(struct names *names, const char *full);  /* apache__rocketmq__v2__ua */
const char *names_c_upper(struct names *names, const char *full);  /* APACHE__ROCKETMQ__V2__UA */
const char *names_c_word(struct names *names, const char *name);   /* pubSub: pub_sub */
const char *names_c_WORD(struct names *names, const char *name);   /* pubSub: PUB_SUB */
const char *names_c_member(struct names *names, const char *name); /* register: register_ */

/* --- our names ------------------------------------------------------------------------ */
/* The type with its package's prefix: rmq_ua. NULL and an error if the package has none. */
const char *names_alias(struct names *names, const char *full);
const char *names_upper(struct names *names, const char *lower);
/* One name in lower case with underscores; runs of capitals stay together: DLQItem: dlq_item. */
const char *names_word(struct names *names, const char *name);
/* A constant of the enum `alias` (rmq_message_type): words that the end of the enum's name
 * and the start of the value's share are written once. */
const char *names_constant(struct names *names, const char *alias, const char *value, bool join);

#endif
