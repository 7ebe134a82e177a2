/* histogram.h - how many calls took how long, in constant memory.
 *
 *      value    0 … 2047   2048 … 4095   4096 … 8191 …
 *      step         1            2            4          log-linear
 *
 * Values are kept to three significant digits, from 0 to about 2^52; larger ones
 * count as the largest. Percentiles give the top of the step that a value fell
 * into, as HdrHistogram does, so none is ever reported too low.
 *
 * Threads: one at a time; record in one each and add them up. */
#ifndef SKUA_HISTOGRAM_H
#define SKUA_HISTOGRAM_H

#include <stdint.h>

typedef struct histogram histogram;

histogram *histogram_new(void);
void histogram_free(histogram *h);
void histogram_record(histogram *h, uint64_t value);
void histogram_add(histogram *to, const histogram *from);

uint64_t histogram_count(const histogram *h);
uint64_t histogram_min(const histogram *h); /* exact; 0 when empty, as all that follow */
uint64_t histogram_max(const histogram *h); /* exact */
double histogram_mean(const histogram *h);  /* exact */
/* percent in (0, 100]: so many percent of the values are at or below the result. */
uint64_t histogram_percentile(const histogram *h, double percent);

#endif
