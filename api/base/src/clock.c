/* clock.c - the machine's clocks. */
#include "base/clock.h"

#include <time.h>

static uint64_t real_mono_us(const struct sk_clock *clock)
{
    (void)clock;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t real_wall_ms(const struct sk_clock *clock)
{
    (void)clock;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

const struct sk_clock *sk_clock_real(void)
{
    static const struct sk_clock real = {.mono_us = real_mono_us, .wall_ms = real_wall_ms};
    return &real;
}
