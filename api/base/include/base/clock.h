/* clock.h - time, so that a test can stop it.
 *
 * Two times, never mixed: `mono_us` only grows and is for waiting; `wall_ms`
 * is the calendar (ms since 1970) and is for stamps. A clock is given at
 * construction; nothing in Skua calls clock_gettime elsewhere. */
#ifndef SK_BASE_CLOCK_H
#define SK_BASE_CLOCK_H

#include <stdint.h>

struct sk_clock {
    uint64_t (*mono_us)(const struct sk_clock *clock);
    uint64_t (*wall_ms)(const struct sk_clock *clock);
};

/* The machine's own clock; lives for ever. */
const struct sk_clock *sk_clock_real(void);

static inline uint64_t sk_mono_us(const struct sk_clock *c) { return c->mono_us(c); }
static inline uint64_t sk_wall_ms(const struct sk_clock *c) { return c->wall_ms(c); }

#endif
