#!/usr/bin/env python3
"""A long quiet life: a name server and a broker under a steady, modest load, and whether anything
grows.

    soak.py BIN_DIR SECONDS [LANGUAGE,...]

All the time, about a hundred messages a second are sent, received and acknowledged over connections
that are made anew every 20 seconds, long polls are called off, and connections dropped. Every
second, by turns: `skua send` and `skua receive`, a topic and a group created, used and deleted, a
`skua receive` killed while it polls; and one after the other an official client receives what
another process of it sends. Segments and snapshots are small, so that the log is rolled, covered by
snapshots and deleted from its begin all the while.

What must hold:
  * every answered message is received with its own body and acknowledged; none comes again after
    that; one that was not acknowledged comes with the next attempt; at the end the groups lag
    behind by nothing;
  * snapshots were taken and segments were deleted; the disk stays within the retention;
  * no process grows (after a third of the time, see judge()).

Memory and files are judged in runs of ten minutes or more: a shorter one measures caches and a log
that fill. Memory only without sanitizers, which keep what was freed.
"""
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "clients")]
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # We start programs; they do not go on using our gRPC.
import api  # noqa: E402,F401  restarts us in a Python with grpcio
from clients import Clients  # noqa: E402
from cluster import Cluster, spawn, wait_until  # noqa: E402
from soak_load import LEASE_S, Ledger, Quitter, Receiver, Sender  # noqa: E402
from verify import Report  # noqa: E402

MIB = 1 << 20
SEGMENT = MIB
LONG_RUN_S = 600
CLIENT_COUNT = 100
# What there is beside the log: its next segments, indexes, snapshots, certificates.
BESIDE_THE_LOG = 8 * SEGMENT


# --- what a process has -------------------------------------------------------------------------

def sample(pid):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {"rss": int(status["VmRSS"].split()[0]), "anonymous": int(status["RssAnon"].split()[0]),
            "threads": int(status["Threads"]), "files": len(os.listdir(f"/proc/{pid}/fd"))}


def cpu_s(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def disk_bytes(folder):
    total = 0
    for path in Path(folder).rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            pass  # deleted meanwhile
    return total


def slope(points):
    """Theil and Sen's: the median of the slopes of all pairs. A step or an outlier does not move
    it, growth does."""
    return median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(points, 2))


class Watch:
    """Samples of one server."""

    def __init__(self, server, folder):
        self.server, self.folder, self.rows = server, folder, []
        self.begin = time.monotonic()

    def look(self):
        row = sample(self.server.pid) | {"s": time.monotonic() - self.begin}
        self.rows.append(row | {"disk": disk_bytes(self.folder)})

    def judge(self, grown_up, sanitized):
        """What grew, as complaints. The first third is for warming up; over the rest, growth is the
        slope times the time. Limits are what the noise of a run without a leak stays below, and a
        leak of a hundred bytes a message, or of one kilobyte per topic or connection, does not:

        anonymous  1 MiB or 4 %, whichever is more: the allocator's granularity
        files, threads  3, of those that clients come and go with
        """
        rows = self.rows[len(self.rows) // 3:]
        limits = {"threads": 3}
        if grown_up:
            limits["files"] = 3
        if grown_up and not sanitized:
            limits["anonymous"] = max(1024, 0.04 * median(row["anonymous"] for row in rows))
        span = rows[-1]["s"] - rows[0]["s"]
        complaints = []
        for what in ("anonymous", "rss", "files", "threads", "disk"):
            values = [row[what] for row in rows]
            grown = slope([(row["s"], row[what]) for row in rows]) * span
            print(f"  {self.server.name} {what}: first {self.rows[0][what]}, then "
                  f"{min(values)}..{max(values)}, median {median(values):.0f}, "
                  f"growth {grown:+.1f} in {span:.0f} s")
            if what in limits and grown > limits[what]:
                complaints.append(f"{self.server.name}: {what} grew by {grown:.1f} in {span:.0f} s, "
                                  f"more than {limits[what]:.0f}")
        return complaints


# --- what happens by turns ----------------------------------------------------------------------

class Turns:
    """The main thread's part: programs that come and go."""

    def __init__(self, cluster, clients):
        self.cluster, self.clients = cluster, clients
        self.number = 0
        self.done = {"command line": 0, "topics": 0, "killed polls": 0, "official clients": 0}
        self._languages = itertools.cycle(clients.languages)
        self._runs = None
        self.report = Report()
        cluster.skua("topic", "create", "typed", "--queues", 2)
        cluster.skua("group", "create", "typists")
        for language in clients.languages:
            cluster.skua("topic", "create", f"of-{language}", "--queues", 2)
            cluster.skua("group", "create", f"official-{language}")

    def take(self):
        (self._command_line, self._topic, self._killed_poll)[self.number % 3]()
        self.number += 1
        self._official()

    def _command_line(self):
        body = f"body-{self.number}"
        self.cluster.skua("send", "typed", "--body", body, "--count", 3)
        lines = self.cluster.skua("receive", "typed", "--group", "typists", "--count", 3, "-o", "json")
        got = [json.loads(line)["body"] for line in lines.splitlines()]
        assert got == [body] * 3, f"sent 3 x {body}, received {got}"
        self.done["command line"] += 1

    def _topic(self):
        topic, group = f"short-lived-{self.number}", f"of-short-lived-{self.number}"
        skua = self.cluster.skua
        skua("topic", "create", topic, "--queues", 4)
        skua("group", "create", group)
        skua("send", topic, "--body", "x", "--count", 8)
        skua("receive", topic, "--group", group, "--count", 2)
        skua("receive", topic, "--group", group, "--count", 2, "--no-ack")
        skua("topic", "delete", topic, "--yes")
        skua("group", "delete", group, "--yes")
        self.done["topics"] += 1

    def _killed_poll(self):
        poll = spawn([self.cluster.bin / "skua", "receive", "quiet", "--group", "waiting", "--wait", 30,
                      "--namesrv", self.cluster.access()], stdout=subprocess.DEVNULL)
        time.sleep(0.3)  # It may be killed anywhere; mostly it polls by now.
        poll.send_signal(signal.SIGKILL)
        poll.wait()
        self.done["killed polls"] += 1

    def _official(self):
        """One language's pair at a time; the next is started when it has ended."""
        if self._runs and any(run.process.poll() is None for run in self._runs):
            return
        self.finish_official()
        language = next(self._languages)
        topic = f"of-{language}"
        self._runs = [
            self.clients.start(language, "receive", topic, group=f"official-{language}",
                               expect=CLIENT_COUNT, timeout=120),
            self.clients.start(language, "send", topic, prefix=language, count=CLIENT_COUNT, rate=20)]

    def finish_official(self):
        if not self._runs:
            return
        reader, sender = self._runs
        self._runs = None
        self.report.sender(sender, sender.wait(120), retries_allowed=False)
        self.report.reader(reader, reader.wait(120), [sender.language], CLIENT_COUNT,
                           duplicates_allowed=False)
        assert not self.report.complaints, self.report.complaints
        self.done["official clients"] += 1


# --- the whole ----------------------------------------------------------------------------------

def start_actors(cluster, address, ledger):
    for topic, group in (("steady", "readers"), ("quiet", "waiting")):
        cluster.skua("topic", "create", topic, "--queues", 4)
        cluster.skua("group", "create", group)
    actors = [Receiver(address, "steady", "readers", ledger, 1),
              Receiver(address, "steady", "readers", ledger, 2),
              Quitter(address, "quiet", "waiting"), Sender(address, "steady", ledger)]
    for actor in actors:
        actor.start()
    return actors


def log_begin(store):
    return min(int(path.stem) for path in (store / "log").glob("*.log"))


def live(seconds, turns, actors, watches):
    """For so long, and until the log was cut: on a busy machine it fills slowly."""
    end = time.monotonic() + seconds
    at_last = end + 3 * seconds
    every_s = max(1.0, seconds / 400)
    next_look = 0
    while time.monotonic() < end or (log_begin(watches[0].folder) == 0 and time.monotonic() < at_last):
        begin = time.monotonic()
        if begin >= next_look:
            next_look = begin + every_s
            for watch in watches:
                watch.look()
        turns.take()
        for actor in actors:
            actor.check()
        time.sleep(max(0, begin + 1 - time.monotonic()))  # the pace, not a wait for something


def settle(actors, ledger):
    *others, sender = actors
    sender.stop()
    try:
        wait_until("all is acknowledged", ledger.settled, 6 * LEASE_S, interval_s=0.2)
    except TimeoutError:
        print(f"open: {dict(itertools.islice(ledger.open.items(), 8))}", file=sys.stderr)
        raise
    finally:
        for actor in others:
            actor.stop()


def lag(cluster, group):
    return json.loads(cluster.skua("group", "describe", group, "-o", "json"))["lag"]


def check_disk(watches, folder, retention):
    """The log was cut at its begin, snapshots cover its middle, and the disk is not outgrown."""
    first = log_begin(folder)
    snapshots = len(list((folder / "snapshot").iterdir()))
    most = max(row["disk"] for row in watches[0].rows)
    print(f"  the log begins at {first}; {snapshots} snapshots; {most / MIB:.1f} MiB of disk at most, "
          f"retention {retention / MIB:.0f} MiB")
    assert first > 0, "no segment was ever deleted"
    assert snapshots > 0, "no snapshot was ever taken"
    assert most <= retention + BESIDE_THE_LOG, "the disk is fuller than the retention allows"


def soak(cluster, seconds, languages):
    # Official clients must get to read what they sent before it is deleted.
    retention = (32 if seconds >= LONG_RUN_S else 4) * MIB
    namesrv = cluster.namesrv("ns")
    broker = cluster.broker("broker", "--set", f"segment_size={SEGMENT}", "--set",
                            f"retention_size={retention}", "--set", "snapshot_distance=1MiB")
    clients = Clients(cluster.folder, cluster.access(), cluster.access("listen-tls"), languages)
    turns, ledger = Turns(cluster, clients), Ledger()
    actors = start_actors(cluster, broker.listen, ledger)
    watches = [Watch(broker, cluster.folder / "broker"), Watch(namesrv, cluster.folder / "ns")]
    try:
        live(seconds, turns, actors, watches)
        turns.finish_official()
    finally:
        clients.close()
        settle(actors, ledger)
    for group in ("readers", "typists", *(f"official-{language}" for language in languages)):
        assert lag(cluster, group) == 0, f"{group} lags behind by {lag(cluster, group)}"
    cpu = cpu_s(broker.pid)
    sanitized = b"__sanitizer" in (cluster.bin / "skua-broker").read_bytes()
    print(f"  broker: {cpu:.1f} s of CPU")
    complaints = [c for watch in watches
                  for c in watch.judge(seconds >= LONG_RUN_S, sanitized)]
    check_disk(watches, cluster.folder / "broker", retention)
    assert not complaints, complaints
    what = ", ".join(f"{count} {name}" for name, count in turns.done.items())
    print(f"{seconds} s: {ledger.acked} messages sent and acknowledged ({ledger.again} at a later "
          f"attempt), {actors[2].rounds} times polls called off, {what}; nothing grew")


def main():
    bin_dir, seconds = sys.argv[1], int(sys.argv[2])
    languages = sys.argv[3].split(",") if len(sys.argv) > 3 else ["python"]
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, folder) as cluster:
        soak(cluster, seconds, languages)


if __name__ == "__main__":
    main()
