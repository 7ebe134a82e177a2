/* burst.h - requests that come together are stored together.
 *
 *      SendMessage ─► checked ┐
 *      SendMessage ─► checked ├─► lock ─► places ─► one append ─► unlock ─► answers
 *      SendMessage ─► checked ┘
 *                               dry (rpc_when_dry), or the burst is full
 *
 * An append costs a system call and two locks, whether it has one record or fifty. On a poller
 * thread a send is therefore kept until no more requests are at hand. It does not exist before: it
 * has no offset, the state knows nothing of it, and if the append fails it is refused, as it would
 * have been by itself. The same moment is the time for the flush that the answers wait for.
 *
 * Records of one append are one batch of the log: after a power cut all of them are there or none.
 *
 * Threads: any. What is kept belongs to the thread that brought it. */
#ifndef SK_PLACING_BURST_H
#define SK_PLACING_BURST_H

#include "message/scan.h"
#include "message/stored_message.h"
#include "placing/placing.h"
#include "rpc/call.h"
#include "service/codes.h"

/* A request to store `count` messages in one queue of a topic, all or none. Lives in the arena of
 * its call. */
struct sk_send {
    rpc_call *call;
    struct sk_slice topic; /* its key */
    struct sk_scanned_message *messages;
    size_t count, bytes;       /* bytes: of the bodies */
    struct sk_append *records; /* of `count` each, to be filled */
    struct sk_span *spans;
    uint8_t (*heads)[SK_STORED_HEAD_MAX];
    struct sk_slice (*parts)[SK_STORED_PARTS];
    void (*stored)(struct sk_send *send); /* see the fields below; no lock is held */

    struct sk_verdict verdict;
    uint64_t first_offset, end; /* granted: the end is what the gate has to pass */
    uint32_t queue;             /* SK_NO_QUEUE: it has no place */
    struct sk_send *next;
};

/* Store it now or a little later; send->stored is called once, on this thread. */
void sk_burst_put(sk_placing *placing, struct sk_send *send);

/* Somebody waits for a flush: it comes when the burst is over, or is asked of the flusher. */
void sk_burst_flush(sk_placing *placing, uint64_t position);

#endif
