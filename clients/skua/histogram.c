/* histogram.c - log-linear counting.
 *
 * Values below 2048 have a counter each. Above, each doubling has 1024 counters,
 * so a step is at most 1/1024 of the value: three digits. */
#include "histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { LINEAR = 2048, HALF = 1024, LINEAR_BITS = 11, VALUE_BITS = 52 };
enum { SLOTS = LINEAR + (VALUE_BITS - LINEAR_BITS) * HALF };

struct histogram {
    uint64_t counts[SLOTS];
    uint64_t count, min, max;
    double sum;
};

static size_t slot_of(uint64_t value)
{
    if (value < LINEAR) return (size_t)value;
    unsigned bits = 64 - (unsigned)__builtin_clzll(value); /* >= 12 */
    if (bits > VALUE_BITS) return SLOTS - 1;
    unsigned shift = bits - LINEAR_BITS;
    return LINEAR + (size_t)(shift - 1) * HALF + (size_t)((value >> shift) - HALF);
}

/* The largest value of a slot. */
static uint64_t top_of(size_t slot)
{
    if (slot < LINEAR) return slot;
    size_t shift = (slot - LINEAR) / HALF + 1, place = (slot - LINEAR) % HALF;
    return ((uint64_t)(place + HALF + 1) << shift) - 1;
}

histogram *histogram_new(void)
{
    return sk_zalloc(1, sizeof(histogram));
}
void histogram_free(histogram *h)
{
    free(h);
}

void histogram_record(histogram *h, uint64_t value)
{
    h->counts[slot_of(value)]++;
    if (h->count == 0 || value < h->min) h->min = value;
    if (value > h->max) h->max = value;
    h->count++;
    h->sum += (double)value;
}

void histogram_add(histogram *to, const histogram *from)
{
    if (from->count == 0) return;
    for (size_t i = 0; i < SLOTS; i++) to->counts[i] += from->counts[i];
    if (to->count == 0 || from->min < to->min) to->min = from->min;
    if (from->max > to->max) to->max = from->max;
    to->count += from->count;
    to->sum += from->sum;
}

uint64_t histogram_count(const histogram *h)
{
    return h->count;
}
uint64_t histogram_min(const histogram *h)
{
    return h->min;
}
uint64_t histogram_max(const histogram *h)
{
    return h->max;
}
double histogram_mean(const histogram *h)
{
    return h->count ? h->sum / (double)h->count : 0;
}

uint64_t histogram_percentile(const histogram *h, double percent)
{
    uint64_t want = (uint64_t)ceil(percent * (double)h->count / 100 - 1e-6), seen = 0;
    if (want < 1) want = 1;
    for (size_t i = 0; i < SLOTS; i++) {
        seen += h->counts[i];
        if (seen >= want) return top_of(i) < h->max ? top_of(i) : h->max;
    }
    return h->max;
}
