/* inspect.c - look at a directory that no process has open: verify every byte, show records.
 *
 * Nothing is written, not even what the next opening would repair: a torn tail is only told. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "disk.h"
#include "epochs.h"
#include "open.h"
#include "recover.h"
#include "snapshot.h"

struct inspection {
    struct sk_vfs *vfs;
    struct sk_store_paths paths;
    int lock_fd;
    struct sk_header identity;
    struct sk_commitlog log;
    bool log_open;

    sk_verify_fn *report;
    void *arg;
    struct sk_verify_result result;
    struct sk_watermark_slots mark;
    uint64_t durable;
    uint64_t snapshot; /* newest valid one; 0: none */
    uint64_t tail;     /* where the next opening ends the log */
    uint64_t begin;    /* where the log begins, as recorded */
    /* Its table, and then what a start would add to it; NULL: nothing to compare with. */
    sk_index *index;
    struct sk_epochs table;  /* of it, too */
    struct sk_epochs epochs; /* as the records say */
    bool compared;           /* the two above */
};

__attribute__((format(printf, 5, 6))) static void tell(struct inspection *in, bool is_error,
                                                       const char *file, uint64_t position,
                                                       const char *fmt, ...)
{
    char detail[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    if (is_error) in->result.errors++;
    if (in->report) in->report(in->arg, is_error, file, position, detail);
}

static void tell_segment(struct inspection *in, bool is_error, uint64_t position, const char *what,
                         uint64_t bytes)
{
    char file[SK_DISK_PATH];
    uint64_t base = sk_commitlog_base(&in->log, position);
    sk_disk_name(file, in->paths.log, base, ".log");
    tell(in, is_error, file, position, "byte %" PRIu64 ": %s (%" PRIu64 " bytes)", position - base,
         what, bytes);
}

/* --- opening ---------------------------------------------------------------------------------- */

static struct sk_status begin(struct inspection *in, const char *dir, struct sk_vfs *vfs)
{
    *in = (struct inspection){
        .vfs = vfs ? vfs : sk_vfs_real(), .lock_fd = -1, .begin = SK_HEADER_BYTES};
    sk_epochs_init(&in->table);
    sk_epochs_init(&in->epochs);
    sk_store_paths_init(&in->paths, dir);
    struct sk_vfs_stat stat;
    if (in->vfs->stat(in->vfs, in->paths.identity, &stat) < 0 &&
        in->vfs->stat(in->vfs, in->paths.log, &stat) < 0)
        return sk_error(SK_NOT_FOUND, "'%s' is not a Skua store", dir);
    struct sk_status s = sk_store_lock_dir(in->vfs, &in->paths, SK_VFS_READ, &in->lock_fd);
    return s.code == SK_NOT_FOUND ? SK_SUCCESS : s; /* a copy may come without its lock file */
}

static struct sk_status open_log(struct inspection *in)
{
    SK_TRY(sk_store_read_identity(in->vfs, &in->paths, &in->identity));
    SK_TRY(sk_commitlog_open(&in->log, in->vfs, in->paths.log, in->identity.store_id,
                             in->identity.sizes[0], false));
    in->log_open = true;
    return SK_SUCCESS;
}

static void end(struct inspection *in)
{
    sk_index_free(in->index);
    sk_epochs_done(&in->table);
    sk_epochs_done(&in->epochs);
    if (in->log_open) sk_commitlog_done(&in->log);
    sk_disk_close(in->vfs, in->lock_fd);
    sk_store_paths_done(&in->paths);
}

/* --- watermark and snapshots ------------------------------------------------------------------ */

static void check_mark(struct inspection *in)
{
    int fd = -1;
    struct sk_status s = sk_disk_open(in->vfs, in->paths.watermark, SK_VFS_READ, &fd);
    if (sk_ok(s)) s = sk_watermark_read(in->vfs, fd, in->identity.store_id, &in->mark);
    sk_disk_close(in->vfs, fd);
    if (!sk_ok(s)) {
        tell(in, false, in->paths.watermark, 0,
             "%s: damage near the end of the log may pass for "
             "a torn tail",
             sk_status_text(&s));
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (in->mark.valid[i] || in->mark.blank[i]) continue;
        /* A crash can tear one slot; an orderly stop leaves both whole. */
        tell(in, in->mark.clean || !in->mark.valid[1 - i], in->paths.watermark, 0,
             "slot %d is damaged", i);
    }
    in->durable = in->mark.flushed;
    in->log.own_from = in->mark.own_from;
    if (in->mark.cut == 0) return;
    in->log.limit = in->mark.cut;
    tell(in, false, in->paths.watermark, in->mark.cut,
         "a cut at this position is under way; the next opening ends it");
}

static void begin_table(struct inspection *in)
{
    in->index =
        sk_index_new(in->vfs, in->paths.index, in->identity.store_id, in->identity.sizes[0]);
    sk_index_set_read_only(in->index);
}

static void adopt_tables(struct inspection *in, const char *file, const struct sk_buffer *body,
                         uint64_t owner_bytes)
{
    begin_table(in);
    struct sk_reader rest =
        sk_reader_of(sk_slice_of(body->data + owner_bytes, body->len - (size_t)owner_bytes));
    struct sk_status s = sk_epochs_load(&in->table, &rest, in->snapshot);
    if (!sk_ok(s)) {
        tell(in, true, file, in->snapshot, "%s", sk_status_text(&s));
        return;
    }
    s = sk_index_load(in->index, sk_read_bytes(&rest, sk_reader_left(&rest)), in->snapshot,
                      sk_commitlog_begin(&in->log));
    if (sk_ok(s)) return;
    tell(in, true, in->paths.index, 0, "%s (the next opening rebuilds it from the log)",
         sk_status_text(&s));
    sk_index_free(in->index);
    in->index = NULL;
}

static void check_snapshot(struct inspection *in, uint64_t position)
{
    char file[SK_DISK_PATH];
    sk_disk_name(file, in->paths.snapshot, position, ".snap");
    struct sk_buffer body = {0};
    uint64_t owner_bytes = 0, begin = 0;
    struct sk_status s = sk_snapshot_read(in->vfs, in->paths.snapshot, in->identity.store_id,
                                          position, &body, &owner_bytes, &begin);
    in->result.snapshots++;
    if (!sk_ok(s)) {
        tell(in, true, file, position, "%s", sk_status_text(&s));
    } else if (in->snapshot == 0) {
        in->snapshot = position;
        in->begin = begin;
        if (position > in->durable) in->durable = position;
        adopt_tables(in, file, &body, owner_bytes);
    }
    sk_buffer_done(&body);
}

/* Of a cut that is under way: the snapshots that it removes are none any more. */
static size_t without_cut(struct inspection *in, uint64_t *positions, size_t count)
{
    size_t left = 0;
    if (in->mark.cut == 0) return count;
    for (size_t i = 0; i < count; i++) {
        uint64_t reach = 0;
        struct sk_status s = sk_snapshot_reach(in->vfs, in->paths.snapshot, in->identity.store_id,
                                               positions[i], &reach);
        bool goes = positions[i] > in->log.limit || (sk_ok(s) && reach > in->log.limit);
        if (!goes) positions[left++] = positions[i];
    }
    return left;
}

static struct sk_status check_snapshots(struct inspection *in)
{
    uint64_t *positions = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(in->vfs, in->paths.snapshot, ".snap", false, &positions, &count));
    count = without_cut(in, positions, count);
    struct sk_status reach = sk_log_reaches(&in->log, positions, count);
    if (!sk_ok(reach)) tell(in, true, in->paths.log, 0, "%s", sk_status_text(&reach));
    while (count-- > 0) check_snapshot(in, positions[count]); /* newest first */
    free(positions);
    if (in->snapshot == 0) begin_table(in); /* all is replayed, from nothing */
    if (in->snapshot == 0 && in->log.count && in->log.segments[0]->base != 0)
        tell(in, true, in->paths.snapshot, 0,
             "no valid snapshot, and the log begins at position %" PRIu64,
             in->log.segments[0]->base);
    if (sk_ok(reach) && in->snapshot && in->log.count) {
        struct sk_status s = sk_log_reaches(&in->log, &in->snapshot, 1);
        if (!sk_ok(s)) tell(in, true, in->paths.log, in->snapshot, "%s", sk_status_text(&s));
    }
    return SK_SUCCESS;
}

/* --- records
 * ---------------------------------------------------------------------------------------- */

/* Does the index find this record? Only for records that the snapshot covers. */
static void check_entry(struct inspection *in, const struct sk_record *r)
{
    if (!in->index || r->queue == SK_NO_QUEUE || r->span.begin >= in->snapshot) return;
    struct sk_queue_range range = sk_index_range(in->index, r->queue);
    if (r->offset < range.min || r->offset >= range.max) return; /* of a queue that was dropped */

    char file[SK_DISK_PATH];
    sk_disk_name(file, in->paths.index, sk_commitlog_base(&in->log, r->span.begin), ".idx");
    struct sk_index_entry e;
    if (sk_index_lookup(in->index, r->queue, r->offset, 1, &e) == 0) {
        tell(in, true, file, r->span.begin, "queue %u offset %" PRIu64 ": the entry is damaged",
             r->queue, r->offset);
        return;
    }
    if (e.position > r->span.begin) return; /* the queue's number was used again later */
    if (e.position != r->span.begin || e.size != r->span.end - r->span.begin ||
        e.tag_hash != r->tag_hash)
        tell(in, true, file, r->span.begin,
             "queue %u offset %" PRIu64 ": the entry is another record's (at %" PRIu64 ")",
             r->queue, r->offset, e.position);
}

/* What a start replays has to follow what its queue holds. Nobody but a program can have written it
 * so. */
static void check_order(struct inspection *in, const struct sk_record *r)
{
    if (!in->index || r->queue == SK_NO_QUEUE) return;
    if (r->span.begin < in->snapshot || r->span.end > in->tail) return;
    if (sk_index_add(in->index, r, false)) return;
    char what[96];
    snprintf(what, sizeof what, "queue %u: offset %" PRIu64 " does not follow the one before",
             r->queue, r->offset);
    tell_segment(in, true, r->span.begin, what, r->span.end - r->span.begin);
}

/* The epoch in which the log that is left begins, as the snapshot knows it. */
static void enter_epochs(struct inspection *in)
{
    struct sk_epoch_start *table = NULL;
    size_t count = sk_epochs_copy(&in->table, &table), before = 0;
    while (before < count && table[before].position < sk_commitlog_begin(&in->log)) before++;
    if (before) sk_epochs_enter(&in->epochs, table[before - 1].epoch);
    free(table);
}

/* The records up to the snapshot say the same as its table. */
static void compare_epochs(struct inspection *in)
{
    if (in->compared || !in->snapshot || in->tail < in->snapshot) return;
    in->compared = true;
    struct sk_epoch_start *table = NULL, *records = NULL;
    size_t count = sk_epochs_copy(&in->table, &table), have = sk_epochs_copy(&in->epochs, &records);
    size_t before = 0;
    while (before < count && table[before].position < sk_commitlog_begin(&in->log)) before++;
    bool same = count - before == have;
    for (size_t i = 0; same && i < have; i++)
        same = table[before + i].epoch == records[i].epoch &&
               table[before + i].position == records[i].position;
    if (!same)
        tell(in, true, in->paths.snapshot, in->snapshot,
             "the snapshot's table of epochs is not what the log says");
    free(table);
    free(records);
}

/* As a start that replays it: epochs never go back, and each begins with its record. */
static void check_epoch(struct inspection *in, const struct sk_record *r)
{
    if (r->span.end > in->tail) return;
    if (in->snapshot && r->span.begin >= in->snapshot) compare_epochs(in);
    struct sk_status s = sk_epochs_take(&in->epochs, r);
    if (sk_ok(s)) return;
    tell_segment(in, true, r->span.begin, sk_status_text(&s), r->span.end - r->span.begin);
    sk_epochs_enter(&in->epochs, r->epoch);
}

static void note_begin(struct inspection *in, const struct sk_record *r)
{
    if (r->kind != SK_KIND_BEGIN || r->span.begin >= in->tail) return;
    uint64_t place = sk_begin_read(r->payload);
    if (place > in->begin) in->begin = place;
}

/* Count and check the good records from `from`; returns where they end. */
static uint64_t check_run(struct inspection *in, uint64_t from, const char **why)
{
    struct sk_walk walk = sk_walk_from(&in->log, from, UINT64_MAX);
    struct sk_frame frame;
    uint64_t position;
    while (sk_walk_next(&walk, &frame, &position, why) == SK_FRAME_VALID) {
        struct sk_record record = sk_frame_record(&frame, position);
        in->result.records++;
        in->result.bytes += record.span.end - record.span.begin;
        check_epoch(in, &record);
        note_begin(in, &record);
        check_entry(in, &record);
        check_order(in, &record);
    }
    sk_walk_done(&walk);
    return position;
}

static void check_end(struct inspection *in, uint64_t at, const struct sk_end *end, const char *why)
{
    if (at < in->durable) {
        tell_segment(in, true, at, why, in->durable - at);
    } else if (end->garbage_end > end->tail && end->tail <= at && end->tail >= in->durable) {
        tell_segment(in, false, end->tail, "a torn tail, which the next opening cuts",
                     end->garbage_end - end->tail);
    }
}

static void check_begin(struct inspection *in)
{
    struct sk_status s =
        sk_begin_check(in->paths.log, in->log.segments[0]->base, in->begin, in->log.segment_bytes);
    if (!sk_ok(s)) tell(in, true, in->paths.log, 0, "%s", sk_status_text(&s));
}

static void check_records(struct inspection *in)
{
    uint64_t at = sk_commitlog_begin(&in->log);
    struct sk_end end = sk_find_end(&in->log, at);
    if (in->mark.cut == 0) sk_look_behind(&in->log, &end);
    if (end.proven > in->durable) in->durable = end.proven;
    in->tail = end.tail;
    enter_epochs(in);
    for (;;) {
        const char *why = "";
        at = check_run(in, at, &why);
        uint64_t next = at < in->durable ? sk_find_record(&in->log, at + 1) : UINT64_MAX;
        if (next == UINT64_MAX || next >= in->durable) {
            check_end(in, at, &end, why);
            compare_epochs(in);
            return;
        }
        tell_segment(in, true, at, why, next - at);
        at = next;
    }
}

struct sk_status sk_store_verify(const char *dir, struct sk_vfs *vfs, sk_verify_fn *report,
                                 void *arg, struct sk_verify_result *out)
{
    struct inspection in;
    struct sk_status s = begin(&in, dir, vfs);
    in.report = report;
    in.arg = arg;
    if (sk_ok(s)) {
        s = open_log(&in);
        if (!sk_ok(s)) tell(&in, true, in.paths.root, 0, "%s", sk_status_text(&s));
    }
    if (sk_ok(s)) {
        in.result.segments = in.log.count;
        check_mark(&in);
        s = check_snapshots(&in);
    }
    if (sk_ok(s) && in.log.count) {
        check_records(&in);
        check_begin(&in);
    } else if (sk_ok(s) && in.durable) {
        tell(&in, true, in.paths.log, 0, "there is no log, but records were durable");
    }
    if (sk_ok(s) && in.result.errors)
        s = sk_error(SK_CORRUPT, "'%s': %" PRIu64 " errors", dir, in.result.errors);
    if (out) *out = in.result;
    end(&in);
    return s;
}

/* --- dump
 * ---------------------------------------------------------------------------------------------- */

static struct sk_status show(struct inspection *in, uint64_t from, sk_dump_fn *each, void *arg)
{
    struct sk_status s = SK_SUCCESS;
    bool more = true;
    for (uint64_t at = from; more && at != UINT64_MAX; at = sk_find_record(&in->log, at + 1)) {
        struct sk_walk walk = sk_walk_from(&in->log, at, UINT64_MAX);
        struct sk_frame frame;
        const char *why;
        enum sk_frame_verdict v;
        while (more && (v = sk_walk_next(&walk, &frame, &at, &why)) == SK_FRAME_VALID) {
            struct sk_record record = sk_frame_record(&frame, at);
            more = each(arg, &record);
        }
        sk_walk_done(&walk);
        if (more && sk_ok(s) && sk_find_record(&in->log, at + 1) != UINT64_MAX)
            s = sk_error(SK_CORRUPT, "position %" PRIu64 ": %s; what follows was shown", at, why);
    }
    return s;
}

struct sk_status sk_store_dump(const char *dir, struct sk_vfs *vfs, uint64_t from, sk_dump_fn *each,
                               void *arg)
{
    struct inspection in;
    struct sk_status s = begin(&in, dir, vfs);
    if (sk_ok(s)) s = open_log(&in);
    if (sk_ok(s) && in.log.count) {
        uint64_t first = sk_commitlog_begin(&in.log);
        from = from > first ? sk_find_record(&in.log, from) : first;
        if (from != UINT64_MAX) s = show(&in, from, each, arg);
    }
    end(&in);
    return s;
}
