/* store_missing.c - stands in for libstore's inspection until it has landed. */
#include "store/store.h"

struct sk_status sk_store_verify(const char *dir, struct sk_vfs *vfs, sk_verify_fn *report, void *arg,
                                 struct sk_verify_result *out)
{
    (void)vfs, (void)report, (void)arg, (void)out;
    return sk_error(SK_UNIMPLEMENTED, "%s: this build cannot verify", dir);
}

struct sk_status sk_store_dump(const char *dir, struct sk_vfs *vfs, uint64_t from, sk_dump_fn *each,
                               void *arg)
{
    (void)vfs, (void)from, (void)each, (void)arg;
    return sk_error(SK_UNIMPLEMENTED, "%s: this build cannot dump", dir);
}
