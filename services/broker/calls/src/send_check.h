/* send_check.h - the checks of SendMessage, apart from its I/O, so that tests can ask them. */
#ifndef SK_CALLS_SEND_CHECK_H
#define SK_CALLS_SEND_CHECK_H

#include "broker/config.h"
#include "message/scan.h"
#include "service/codes.h"

/* The checks of protocol.md 3.4 that need no topic, in its order. */
SK_CHECKED struct sk_verdict sk_check_message(const struct sk_broker_config *config,
                                              const struct sk_scanned_message *message,
                                              size_t batch, uint64_t now_ms);

#endif
