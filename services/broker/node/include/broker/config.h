/* config.h - the settings of a broker, one field for each row of config.def. */
#ifndef SK_BROKER_CONFIG_H
#define SK_BROKER_CONFIG_H

#include "base/config.h"

struct sk_broker_config {
#define SK_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
#include "broker/config.def"
};

#endif
