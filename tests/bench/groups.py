"""What is measured, group by group. Each starts its servers, warms them, and keeps samples under the
names that report.py reads; the constants are those names."""
import contextlib
import shutil
import sys
import time

import machine
from servers import Echo, Relay, RocketMQ, Skua

WARMUP_S = 0.5
JVM_WARMUP_MESSAGES = 250_000
LOG_WARMUP_MESSAGES = 1_200_000
SEND_1, SEND_16, SEND_64 = (f"1 KiB, {n} in flight" for n in (1, 16, 64))
BATCH_64, BATCH_32 = "64 x 1 KiB, 16 in flight", "32 x 1 KiB, 16 in flight"
RECEIVE_ACK, RECEIVE = "receive 32 + ack", "receive 32"
LATENCY, LATENCY_1K = "publish to receive, 10 k/s", "publish to receive, 1 k/s"
TOPICS_1, TOPICS_10K = "1 topic, 64 in flight", "10,000 topics, 64 in flight"
BACKLOG_0, BACKLOG_10M = "empty log, 64 in flight", "10 M backlog, 64 in flight"
START_EMPTY, START_SMALL, START_KILLED = "start, nothing there", "start, 10 k messages", \
    "start after kill -9 in a load"
START_BACKLOG, START_BACKLOG_KILLED = "start, 10 M backlog", "start after kill -9, 10 M backlog"
IDLE = "idle"


@contextlib.contextmanager
def servers(bench, ceiling=None, sync=True):
    """The ceiling (Echo or Relay), Skua and the peers, warmed."""
    found = [ceiling(bench)] if ceiling else []
    for flush in ("async", "sync") if sync else ("async",):
        found += [Skua(bench, flush, flush, build) for build in bench.clusters]
    warm_log(bench, *[server for server in found if isinstance(server, Skua)])
    peers = []
    try:
        for flush in ("async", "sync") if sync and bench.jars else ("async",) if bench.jars else ():
            with bench.alone():
                peers.append(RocketMQ(bench, bench.jars, f"rocketmq {flush}", flush))
                warm_jvm(bench, peers[-1])
                peers[-1].pause()
        yield found + peers
        if ceiling:
            found[0].stop()
    finally:
        for peer in peers:
            peer.stop()


def warm_log(bench, *skuas):
    """As in a server that has run for a while: its log has gone once round its page cache."""
    for server in skuas:
        with bench.alone():
            fill(bench, server, "warm", LOG_WARMUP_MESSAGES)


def warm_jvm(bench, server):
    """Single messages and batches, receives and acknowledgements, until all is compiled."""
    half = JVM_WARMUP_MESSAGES // 2
    bench.load(server, bench.request("send", "bench", 1, 1024), "--calls", half, "--warmup", 0)
    consume_from_the_end(bench, server, "receive")
    fill(bench, server, "receive", half)
    try:
        bench.consume(server, "receive", "group", "--messages", half * 9 // 10)
    except RuntimeError as error:  # seen once: RocketMQ stopped giving; what it did has warmed it
        print(f"(warm-up of {server.name}: {error})", file=sys.stderr)


def in_turn(found, n):
    """Who comes first is another one in each repetition."""
    return found if n % 2 == 0 else found[::-1]


@contextlib.contextmanager
def turn(server):
    server.resume()
    try:
        yield
    finally:
        server.pause()


# --- send -----------------------------------------------------------------------------------------


def measure_sends(bench, loads):
    """loads: (name, messages in a request, requests in flight)"""
    with servers(bench, Echo) as found:
        for n in bench.turns():
            for name, batch, in_flight in loads:
                request = bench.request("send", "bench", batch, 1024)
                for server in in_turn(found, n):
                    with turn(server):
                        got = bench.load(server, request, "--in-flight", in_flight,
                                         "--seconds", bench.seconds, "--warmup", WARMUP_S)
                    bench.sample(name, server, got, batch)
        keep_memory(bench, found)


def keep_memory(bench, found):
    for server in found:
        bench.keep("after the load", server.name, rss_mib=machine.rss_mib(server.pid),
                   own_mib=machine.anonymous_mib(server.pid))


def send(bench):
    measure_sends(bench, [(SEND_1, 1, 1), (SEND_16, 1, 16), (SEND_64, 1, 64)])


def batch(bench):
    measure_sends(bench, [(BATCH_64, 64, 16)] + ([(BATCH_32, 32, 16)] if bench.jars else []))


# --- receive --------------------------------------------------------------------------------------


def fill(bench, server, topic, count, body_bytes=1024):
    bench.load(server, bench.request("send", topic, 64, body_bytes), "--in-flight", 16,
               "--warmup", 0, "--calls", count // 64 + 1)


def consume_from_the_end(bench, server, topic, *words):
    """Some messages through a topic: RocketMQ's new groups begin at its end."""
    return bench.consume(server, topic, "group", "--send", bench.request("send", topic, 1, 1024),
                         "--rate", 1000, "--warmup", 0, "--seconds", 0.5, *words)


def receive(bench):
    """A warm backlog; in RocketMQ of a tenth, which takes as long. The echo streams as many."""
    with servers(bench, Echo, sync=False) as found:
        for n in bench.turns():
            bench.sample(RECEIVE, found[0], bench.stream(found[0], 320_000))
            for server in in_turn(found[1:], n):
                count = 400_000 if isinstance(server, Skua) else 60_000
                for name, acks in ((RECEIVE_ACK, True), (RECEIVE, False)):
                    if not acks and not isinstance(server, Skua):
                        continue
                    topic = server.topic("receive" if acks else "unacked", n)
                    with turn(server):
                        fill(bench, server, topic, count)
                        got = bench.consume(server, topic, "group", "--warmup-messages", count // 10,
                                            "--messages", count * 8 // 10, acks=acks)
                    bench.sample(name, server, got)


def latency(bench):
    """Open loop; the topic has a group already when the clock starts."""
    with servers(bench, Relay) as found:
        for server in found[1:]:
            with turn(server):
                topic = server.topic("latency", 0)
                fill(bench, server, topic, 1)
                consume_from_the_end(bench, server, topic)
        for n in bench.turns():
            for server in in_turn(found, n):
                topic = server.topic("latency", 0)
                for name, rate in ((LATENCY_1K, 1000), (LATENCY, 10000)):
                    if rate > 1000 and not isinstance(server, (Relay, Skua)):
                        continue  # RocketMQ's proxy was seen to take 3,000 of 10,000 a second
                    with turn(server):
                        got = bench.consume(server, topic, "group", "--send",
                                            bench.request("send", topic, 1, 1024), "--rate", rate,
                                            "--warmup", WARMUP_S, "--seconds", bench.seconds)
                    bench.sample(name, server, got)


# --- many -----------------------------------------------------------------------------------------


def topics(bench):
    """Two brokers of a build: one has a topic, the other ten thousand; sends go to all of them in
    turn."""
    request = bench.request("send", "topic-00000", 1, 1024)
    loads = [(name, Skua(bench, f"topics-{count}", "async", build), count)
             for name, count in ((TOPICS_1, 1), (TOPICS_10K, 10_000)) for build in bench.clusters]
    warm_log(bench, *[server for _, server, _ in loads])
    for name, server, count in loads:
        bench.load(server, request, "--topics", count, "--calls", 12_000, "--warmup", 0)
        server.name = "async" + server.build
        bench.keep(name, "memory" + server.build, own_mib=machine.anonymous_mib(server.pid))
    for n in bench.turns():
        for name, server, count in in_turn(loads, n):
            got = bench.load(server, request, "--topics", count, "--seconds", bench.seconds,
                             "--warmup", WARMUP_S)
            bench.sample(name, server, got)


def backlog(bench, count=10_000_000):
    """Two brokers of a build: one is empty, the other holds ten million small messages that nobody
    took."""
    loads = [(name, Skua(bench, file, "async", build))
             for name, file in ((BACKLOG_0, "backlog-0"), (BACKLOG_10M, "backlog-10m"))
             for build in bench.clusters]
    for name, server in loads:
        server.name = "async" + server.build
        bench.load(server, bench.request("send", "bench", 1, 1024), "--calls", 1, "--warmup", 0)
    warm_log(bench, *[server for name, server in loads if name == BACKLOG_0])
    full = [server for name, server in loads if name == BACKLOG_10M]
    for _ in range(10):
        for server in full:
            fill(bench, server, "backlog", count // 10, body_bytes=16)
    keep_backlog_memory(bench, full, "memory, loaded")
    for n in bench.turns():
        for name, server in in_turn(loads, n):
            got = bench.load(server, bench.request("send", "bench", 1, 1024),
                             "--seconds", bench.seconds, "--warmup", WARMUP_S)
            bench.sample(name, server, got)
    keep_backlog_memory(bench, full, "memory, after sends")
    for server in full:
        server.stop()
    for n in bench.turns():
        for server in in_turn(full, n):
            first_ack(bench, START_BACKLOG_KILLED if n else START_BACKLOG, server, "--kill")
    for server in full:
        server.server.start()


def keep_backlog_memory(bench, full, name):
    for server in full:
        bench.keep(BACKLOG_10M, name + server.build, own_mib=machine.anonymous_mib(server.pid))


# --- start and rest -------------------------------------------------------------------------------


def first_ack(bench, name, skua, *words):
    """Start the server of this description anew, on its port and data, until it says yes."""
    command = skua.server.command
    got = bench.tool("first", skua.listen, None, "--request", bench.request("send", "bench", 1, 1024),
                     *words, "--", *command)
    bench.keep(name, "async" + skua.build, first_ack_ms=got["first_ack_ms"], listens_ms=got["listens_ms"])


def start(bench):
    found = [Skua(bench, "start", "async", build) for build in bench.clusters]
    for n in bench.turns():
        for skua in in_turn(found, n):
            start_thrice(bench, skua)


def start_thrice(bench, skua):
    if skua.server.alive:
        skua.stop()
    shutil.rmtree(skua.folder)
    first_ack(bench, START_EMPTY, skua)
    skua.server.start()
    bench.load(skua, bench.request("send", "bench", 1, 1024), "--calls", 10_000, "--warmup", 0)
    skua.stop()
    first_ack(bench, START_SMALL, skua)
    skua.server.start()
    bench.load(skua, bench.request("send", "bench", 1, 1024), "--seconds", 2, "--warmup", 0)
    skua.server.kill()
    first_ack(bench, START_KILLED, skua)


def idle(bench):
    """A name server and a broker of its own, as in a cluster."""
    found = {}
    for build, cluster in bench.clusters.items():
        found |= {"name server" + build: cluster.namesrv("namesrv" + build.strip()),
                  "broker" + build: cluster.broker("broker" + build.strip())}
    time.sleep(2)
    for _ in bench.turns():
        for name, server in found.items():
            bench.keep(IDLE, name, rss_mib=machine.rss_mib(server.pid),
                       own_mib=machine.anonymous_mib(server.pid))


GROUPS = {"send": send, "batch": batch, "receive": receive, "latency": latency, "topics": topics,
          "backlog": backlog, "start": start, "idle": idle}
