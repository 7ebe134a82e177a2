/* telemetry.h - the Telemetry streams that clients keep open (protocol.md 3.11).
 *
 * Each message of Settings is answered with the merged ones. Streams are ended only
 * by their client, by our stopping, or by Settings that cannot be accepted.
 *
 * Threads: any; one at a time is inside a stream (service/stream.h), and holds no lock there. */
#ifndef SK_BROKER_TELEMETRY_H
#define SK_BROKER_TELEMETRY_H

#include "inside.h"

sk_telemetry *sk_telemetry_new(struct sk_calls *calls);

/* End all streams, and any that opens later. */
void sk_telemetry_end(sk_telemetry *telemetry);

/* After the server was drained. NULL is fine. */
void sk_telemetry_free(sk_telemetry *telemetry);

#endif
