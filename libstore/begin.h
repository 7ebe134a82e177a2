/* begin.h - where the log begins, by record: BEGIN is appended before anything is deleted. Private
 * to libstore; the table is in begin.c. */
#ifndef SK_STORE_BEGIN_H
#define SK_STORE_BEGIN_H

#include <stdatomic.h>

#include "record.h"

struct sk_begin {           /* written at opening, or under the owner's lock */
    _Atomic uint64_t place; /* of the first record that is kept, says the newest BEGIN */
    _Atomic uint64_t after; /* that BEGIN's end: it has to be settled before anything is deleted */
    _Atomic uint64_t needs_passed;
};

/* May this frame, a BEGIN at `position`, follow one that says *begin? Then *begin is what it
 * says. */
bool sk_begin_accepts(const sk_store *store, const struct sk_frame *frame, uint64_t position,
                      uint64_t *begin);
/* What a BEGIN record says; 0: nothing sensible. */
uint64_t sk_begin_read(struct sk_slice payload);
/* Can the log begin there, as far as one knows at `position`: a segment's first place, not
 * above? */
bool sk_begin_is_place(const sk_store *store, uint64_t place, uint64_t position);
/* It is in the log: from replay, from a stream, from our own append. SK_CORRUPT: it is none. */
SK_CHECKED struct sk_status sk_begin_note(sk_store *store, const struct sk_record *record);
/* Append one, and tell the fold. Under the owner's lock. */
SK_CHECKED struct sk_status sk_begin_append(sk_store *store, uint64_t place);
/* Delete what lies below the newest BEGIN that is settled, as far as nothing here wants it; how
 * many segments went. Inside housekeeping, or at opening (retain.c). */
size_t sk_begin_delete(sk_store *store);
/* SK_CORRUPT, naming the file, when the log's first segment lies above the recorded beginning. */
SK_CHECKED struct sk_status sk_begin_check(const char *dir, uint64_t first_base, uint64_t place,
                                           uint64_t segment_bytes);

#endif
