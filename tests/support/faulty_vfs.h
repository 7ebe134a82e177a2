/* faulty_vfs.h - a disk whose nth call fails.
 *
 *     struct faulty_vfs f = faulty_vfs_over(sk_vfs_real());
 *     faulty_vfs_arm(&f, FAULT_ANY, n, EIO, FAULT_ONCE);
 *     ... use &f.vfs ...
 *     if (!f.fired) the run made fewer than n such calls
 *
 * A loop over n = 1, 2, 3, ... until a run does not fire fails each call once, also those that
 * are added later. Threads: any (one lock). */
#ifndef TESTS_SUPPORT_FAULTY_VFS_H
#define TESTS_SUPPORT_FAULTY_VFS_H

#include <pthread.h>
#include <stdbool.h>

#include "store/vfs.h"

enum fault_verb {
    FAULT_ANY,
    FAULT_OPEN,
    FAULT_CLOSE,
    FAULT_PREAD,
    FAULT_PWRITEV,
    FAULT_FDATASYNC,
    FAULT_FSYNC,
    FAULT_ALLOCATE,
    FAULT_TRUNCATE,
    FAULT_RENAME,
    FAULT_UNLINK,
    FAULT_MKDIR,
    FAULT_LIST,
    FAULT_SYNC_DIR,
    FAULT_STAT,
    FAULT_MAP,
    FAULT_LOCK,
    FAULT_NEXT_DATA,
    FAULT_VERBS
};

enum fault_mode {
    FAULT_ONCE,
    FAULT_STICKY,      /* that call and all that follow */
    FAULT_SHORT,       /* a write does half of its bytes, and the next one fails */
    FAULT_LATE,        /* a write does all, and says that it failed */
    FAULT_LATE_STICKY, /* ... and all that follow fail plainly */
};

struct faulty_vfs {
    struct sk_vfs vfs; /* first: a door is its faulty_vfs */
    struct sk_vfs *under;
    pthread_mutex_t lock;
    enum fault_verb verb;
    enum fault_mode mode;
    int error;
    long left; /* calls of that verb until the one that fails; 0: disarmed */
    bool fired;
    bool tearing; /* a short write was made, the next one fails */
    long calls[FAULT_VERBS];
    unsigned full_percent; /* if not 0: what `space` says */
};

struct faulty_vfs faulty_vfs_over(struct sk_vfs *under);
/* The nth call of `verb` from now on fails with `error` (an errno). */
void faulty_vfs_arm(struct faulty_vfs *f, enum fault_verb verb, long nth, int error,
                    enum fault_mode mode);
void faulty_vfs_disarm(struct faulty_vfs *f);
const char *fault_verb_name(enum fault_verb verb);

#endif
