"""The tables: what was measured, and what of the targets holds."""
import statistics

import groups as g
import machine
from servers import BEFORE

# (number of digits, key, heading)
COLUMNS = ((0, "p50_us", "p50 µs"), (0, "p99_us", "p99 µs"), (0, "p999_us", "p99.9 µs"),
           (2, "cpu_us", "server CPU µs/message"))


def checks(bench):
    """(what, target, found, holds) of all that was measured."""
    median, disk = bench.median, bench.disk_us
    out = []

    def check(what, target, form, holds, *values):
        """form: what to show of the value that holds() looks at, which is the last one."""
        if all(value is not None for value in values):
            value = values[-1]
            out.append((what, target, form.format(value), holds(value)))

    def ratio(load, key, who, of_load, of):
        """Repetition by repetition, which stand close in time: the machine's moods cancel out."""
        pairs = zip(bench.samples.get((load, who), []), bench.samples.get((of_load, of), []))
        found = [a[key] / b[key] for a, b in pairs if a.get(key) is not None and b.get(key)]
        return statistics.median(found) if found else None

    def per_core(load):
        cpu = median(load, "async", "cpu_us")
        return 1e6 / cpu if cpu else None

    def at_least(limit):
        return lambda value: value >= limit

    def at_most(limit):
        return lambda value: value <= limit

    check("1 KiB, 64 in flight, async: rate / echo's", ">= 0.85", "{:.2f}", at_least(0.85),
          ratio(g.SEND_64, "rate", "async", g.SEND_64, "echo"))
    check("the same: server CPU / echo's", "<= 1.25", "{:.2f}", at_most(1.25),
          ratio(g.SEND_64, "cpu_us", "async", g.SEND_64, "echo"))
    check("1 KiB, 1 in flight, async: p50 / echo's", "<= 1.20", "{:.2f}", at_most(1.2),
          ratio(g.SEND_1, "p50_us", "async", g.SEND_1, "echo"))
    check("1 KiB, 64 in flight, sync: rate / async's", ">= 0.70", "{:.2f}", at_least(0.7),
          ratio(g.SEND_64, "rate", "sync", g.SEND_64, "async"))
    p99, async_p99 = median(g.SEND_64, "sync", "p99_us"), median(g.SEND_64, "async", "p99_us")
    if p99 and async_p99:
        limit = max(2.5 * async_p99, 2 * disk)
        check("the same: p99", f"<= {limit:,.0f} µs (2.5 x async's, or two fdatasyncs)", "{:,.0f} µs",
              at_most(limit), p99)
    check("64 x 1 KiB, 16 in flight, async: rate / echo's", ">= 0.80", "{:.2f}", at_least(0.8),
          ratio(g.BATCH_64, "rate", "async", g.BATCH_64, "echo"))
    check("the same: messages per core and second", ">= 800,000", "{:,.0f}", at_least(800e3),
          per_core(g.BATCH_64))
    check("receive 32 + ack in one request: messages/s", ">= 250,000", "{:,.0f}", at_least(250e3),
          median(g.RECEIVE_ACK, "async", "rate"))
    check("receive 32 without ack: messages per core and second", ">= 500,000", "{:,.0f}",
          at_least(500e3), per_core(g.RECEIVE))
    check("publish to long-poll receive, 10 k/s: p50", "<= 200 µs", "{:,.0f} µs", at_most(200),
          median(g.LATENCY, "async", "p50_us"))
    check("the same: p99", "<= 1,000 µs", "{:,.0f} µs", at_most(1000),
          median(g.LATENCY, "async", "p99_us"))
    check("10,000 topics: rate / one topic's", ">= 0.90", "{:.2f}", at_least(0.9),
          ratio(g.TOPICS_10K, "rate", "async", g.TOPICS_1, "async"))
    check("10 M backlog: rate / empty log's", ">= 0.97", "{:.2f}", at_least(0.97),
          ratio(g.BACKLOG_10M, "rate", "async", g.BACKLOG_0, "async"))
    for load in (g.START_BACKLOG, g.START_BACKLOG_KILLED):
        check(f"{load}: first ack", "<= 1,000 ms", "{:,.0f} ms", at_most(1000),
              median(load, "async", "first_ack_ms"))
    for load in (g.START_EMPTY, g.START_SMALL):
        check(f"{load}: first ack", "<= 20 ms", "{:,.1f} ms", at_most(20),
              median(load, "async", "first_ack_ms"))
    check(f"{g.START_KILLED}: first ack", "<= 50 ms", "{:,.1f} ms", at_most(50),
          median(g.START_KILLED, "async", "first_ack_ms"))
    check("idle broker: RSS", "<= 16 MiB", "{:.1f} MiB", at_most(16),
          median(g.IDLE, "broker", "rss_mib"))
    check("idle name server: RSS", "<= 12 MiB", "{:.1f} MiB", at_most(12),
          median(g.IDLE, "name server", "rss_mib"))
    check("1 KiB, 64 in flight: Skua sync / RocketMQ async", ">= 2.00", "{:.2f}", at_least(2),
          ratio(g.SEND_64, "rate", "sync", g.SEND_64, "rocketmq async"))
    return out


def show(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def print_rates(bench):
    """Everything that is a rate."""
    print("| load | server | messages/s (min .. max) | of the echo |",
          " | ".join(heading for _, _, heading in COLUMNS), "|")
    print("|---|---|---|---|" + "---|" * len(COLUMNS))
    for (load, name), samples in bench.samples.items():
        rates = [s["rate"] for s in samples if "rate" in s]
        if not rates:
            continue
        ceiling = bench.median(load, "echo", "rate")
        rate = statistics.median(rates)
        cells = [load, name, f"{rate:,.0f} ({min(rates):,.0f} .. {max(rates):,.0f})",
                 f"{rate / ceiling:.2f}" if ceiling else ""]
        cells += [show(bench.median(load, name, key), digits) for digits, key, _ in COLUMNS]
        print("| " + " | ".join(cells) + " |")


def print_others(bench):
    """Times to start, and memory: own_mib is without the pages of mapped files."""
    rows = [(load, name, key, values) for (load, name), samples in bench.samples.items()
            for key in samples[0] if key.endswith(("_ms", "_mib"))
            and (values := [s[key] for s in samples if s[key] is not None])]
    if not rows:
        return
    print("\n| | server | | median (min .. max) |\n|---|---|---|---|")
    names = {"first_ack_ms": "first ack, ms", "listens_ms": "listens, ms", "rss_mib": "RSS, MiB",
             "own_mib": "RSS without mapped files, MiB"}
    for load, name, key, values in rows:
        print(f"| {load} | {name} | {names[key]} | {statistics.median(values):.1f} "
              f"({min(values):.1f} .. {max(values):.1f}) |")


def print_against(bench):
    """What --against asks: our share of the rate of the build before, and our cost by its. Above 1
    is better in the first column, worse in the others. Medians of pairs that stand close in time."""
    heads = (("rate", "rate"), ("cpu_us", "server CPU"), ("p50_us", "p50"), ("p99_us", "p99"),
             ("first_ack_ms", "first ack"), ("own_mib", "own memory"))
    lines = []
    for (load, name), ours in bench.samples.items():
        before = bench.samples.get((load, name + BEFORE), [])
        if not before:
            continue
        cells = []
        for key, _ in heads:
            found = sorted(a[key] / b[key] for a, b in zip(ours, before) if a.get(key) and b.get(key))
            cells.append(f"{statistics.median(found):.3f} ({found[0]:.2f} .. {found[-1]:.2f})"
                         if found else "")
        lines.append("| " + " | ".join([load, name, *cells]) + " |")
    if lines:
        print("\n| by the build before: | server |", " | ".join(head for _, head in heads), "|")
        print("|---|---|" + "---|" * len(heads))
        print("\n".join(lines))


SERVERS = (("sync", "Skua, on disk before the answer"), ("async", "Skua, in the page cache"),
           ("rocketmq sync", "RocketMQ 5.5, on disk before the answer"),
           ("rocketmq async", "RocketMQ 5.5, in the page cache"))


def print_comparison(bench):
    """README's table: what a reader chooses between."""
    loads = [load for load in dict.fromkeys(load for load, _ in bench.samples)
             if bench.median(load, "rocketmq async", "rate")]
    if not loads:
        return
    print("\n| messages/s; p99; server CPU per message |", " | ".join(loads), "|")
    print("|---" * (len(loads) + 1) + "|")
    for name, title in SERVERS:
        cells = []
        for load in loads:
            rate, p99, cpu = (bench.median(load, name, key) for key in ("rate", "p99_us", "cpu_us"))
            cells.append(f"{rate:,.0f}; {p99 / 1000:.1f} ms; {cpu:.1f} µs" if rate else "")
        print(f"| {title} | " + " | ".join(cells) + " |")


def print_text(bench, facts):
    bench.disk_us = facts["fdatasync_us"]
    print(machine.text(facts) + f"; {facts['repetitions']} repetitions of {facts['seconds']:g} s"
          + (", servers on core 0 and load generators on core 1" if facts["pinned"] else "") + "\n")
    print_rates(bench)
    print_others(bench)
    print_comparison(bench)
    print_against(bench)
    found = checks(bench)
    if found:
        print("\n| target | | measured | |\n|---|---|---|---|")
    for what, target, value, holds in found:
        print(f"| {what} | {target} | {value} | {'holds' if holds else '**missed**'} |")


def as_json(bench, facts):
    bench.disk_us = facts["fdatasync_us"]
    return {"machine": facts,
            "measured": [{"load": load, "server": name, "repetitions": samples}
                         for (load, name), samples in bench.samples.items()],
            "targets": [{"what": what, "target": target, "measured": value, "holds": holds}
                        for what, target, value, holds in checks(bench)]}
