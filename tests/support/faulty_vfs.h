/* faulty_vfs.h - a disk whose nth call fails.
 *
 *     struct faulty_vfs f = faulty_vfs_over(sk_vfs_real());
 *     faulty_vfs_arm(&f, FAULT_ANY, n, EIO, FAULT_ONCE);
 *     ... use &f.vfs ...
 *     if (!f.fired) the run made fewer than n such calls
 *     faulty_vfs_done(&f);
 *
 * A loop over n = 1, 2, 3, ... until a run does not fire fails each call once, also those that
 * are added later. fault_row() lists all that a loop should try: every verb with every errno that
 * it can return, once and for ever, and every way in which a read or a write can stop half-way and
 * a sync can fail.
 *
 * A failed sync is what reliability.md 1.3 warns of: the kernel may keep the bytes that it did not
 * write, or drop them, or have written some; a second sync would then say yes for nothing. So
 * syncs of a file whose last sync had failed are counted (`retried`): there must be none.
 *
 * Threads: any (one lock). */
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
    FAULT_SPACE,
    FAULT_MAP,
    FAULT_LOCK,
    FAULT_NEXT_DATA,
    FAULT_DROP_CACHE,
    FAULT_WRITE_OUT,
    FAULT_VERBS
};

/* What the call does besides saying no. */
enum fault_mode {
    FAULT_ONCE,
    FAULT_STICKY, /* that call and all that follow */
    /* Of a write or a read; the error is that of the next call, 0: the next call goes well. */
    FAULT_SHORT,      /* half of the bytes */
    FAULT_SHORT_NONE, /* none, and no error either */
    FAULT_SHORT_ONE,  /* one byte */
    FAULT_SHORT_TWO,  /* two bytes */
    FAULT_SHORT_LESS, /* all but one */
    /* Of a write. */
    FAULT_LATE,        /* it does all, and says that it failed */
    FAULT_LATE_STICKY, /* ... and all that follow fail plainly */
    /* Of a sync; FAULT_ONCE keeps the bytes that were not synced where readers see them. */
    FAULT_DROPPED, /* what was not synced is as it was before */
    FAULT_HALVED,  /* ... every other 512 bytes of it */
};

struct fault_row {
    enum fault_verb verb;
    enum fault_mode mode;
    int error;
};

/* Row 0, 1, 2, ...; false: there are no more. */
bool fault_row(int i, struct fault_row *out);
/* "pwritev ENOSPC for ever"; static, until the next call. Not thread-safe. */
const char *fault_row_name(const struct fault_row *row);

enum { FAULT_FDS = 256 };

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
    long retried;          /* syncs of a file whose last sync had failed */
    unsigned full_percent; /* if not 0: what `space` says */
    struct faulty_file {
        bool sync_failed;
        struct faulty_write *unsynced; /* newest first */
    } files[FAULT_FDS];                /* by descriptor; those above are not looked after */
};

struct faulty_vfs faulty_vfs_over(struct sk_vfs *under);
void faulty_vfs_done(struct faulty_vfs *f);
/* The nth call of `verb` from now on fails with `error` (an errno). */
void faulty_vfs_arm(struct faulty_vfs *f, enum fault_verb verb, long nth, int error,
                    enum fault_mode mode);
void faulty_vfs_arm_row(struct faulty_vfs *f, const struct fault_row *row, long nth);
void faulty_vfs_disarm(struct faulty_vfs *f);
const char *fault_verb_name(enum fault_verb verb);

#endif
