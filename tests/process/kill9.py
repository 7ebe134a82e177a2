#!/usr/bin/env python3
"""kill -9 of a broker in mid-load, round after round.

    kill9.py BIN_DIR WORKLOAD [ROUNDS] [sync|async|both]
    SKUA_KILL9_ROUNDS=n     not more than so many (scripts/test.sh --quick)

Each round sends with 64 in flight and, beside it, with one; takes messages under long leases,
acknowledges half of them, and kills the broker at a random moment: segments and snapshots are small, so
that it often rolls one or writes the other. In every second round the start that follows is killed too,
once or twice, at a random moment of its recovery. `both`: the rounds take turns. After the restart:

  * every answered send is in its topic, once, at the offset that the answer named;
  * what was at a (queue, offset) in an earlier round is there still: no offset is used twice;
  * offsets are dense, and the one-in-flight sender's messages stand in the order they were sent;
  * leased messages stay with their lease, whose handle still acknowledges them; acknowledged
    ones never come again.

All that a topic ever held is read back in each round, so that after AGE rounds the broker goes on with
another one; what the earlier ones hold is read again at the very end.

kill -9 keeps the page cache: this proves the process' part, not the disk's.
"""
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from cluster import Cluster, spawn  # noqa: E402

GROUP, QUEUES, AGE = "survivors", 4, 25
TAKEN_PER_ROUND = 20
LONG_LEASE_S = 3600
START_S = 0.4           # a start is killed within this time, mostly before it is ready
SMALL = ["--set", "segment_size=1MiB", "--set", "snapshot_distance=1MiB"]
OK = "20000"


class Workload:
    def __init__(self, program, address):
        self.program, self.address = program, address

    def start(self, command, *words):
        return spawn([self.program, command, self.address, *words], stdout=subprocess.PIPE, text=True)

    def run(self, command, *words, stdin=None):
        done = subprocess.run([str(w) for w in [self.program, command, self.address, *words]],
                              input=stdin, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"workload {command} {words}: {done.stderr}")
        return [line.split() for line in done.stdout.splitlines()]


class Known:
    """What the broker has promised so far about one topic."""

    def __init__(self, topic):
        self.topic = topic
        self.answered = {}       # id -> offset
        self.unknown = set()
        self.places = {}         # (queue, offset) -> id, as read after the last restart
        self.acked = set()
        self.leased = {}         # id -> handle
        self.killed_starts = 0

    def note_sends(self, text):
        for line in text.splitlines():
            word, identity, *offset = line.split()
            if word == "ok":
                self.answered[identity] = int(offset[0])
            else:
                self.unknown.add(identity)

    def check_log(self, lines, round_number):
        places = {(int(q), int(o)): identity for _, q, o, identity in lines}
        assert len(places) == len(lines), "an offset came twice from one queue"
        for place, identity in self.places.items():
            assert places.get(place) == identity, \
                f"{place} held {identity}, now {places.get(place)}"
        where = defaultdict(list)
        for (queue, offset), identity in places.items():
            where[identity].append((queue, offset))
        for identity, offset in self.answered.items():
            assert identity in where, f"{identity} was answered and is lost"
            assert [o for _, o in where[identity]] == [offset], \
                f"{identity} was answered at offset {offset}, is at {where[identity]}"
        strangers = set(where) - set(self.answered) - self.unknown
        assert not strangers, f"nobody sent {sorted(strangers)[:5]}"
        self.check_order(places, round_number)
        self.places = places

    @staticmethod
    def check_order(places, round_number):
        per_queue = defaultdict(list)
        for (queue, offset), identity in sorted(places.items()):
            per_queue[queue].append(offset)
        for queue, offsets in per_queue.items():
            assert offsets == list(range(len(offsets))), f"queue {queue} has holes"
        for queue in range(QUEUES):
            mine = [int(identity.rsplit("-", 1)[1]) for (q, _), identity in sorted(places.items())
                    if q == queue and identity.startswith(f"one-{round_number}-")]
            assert mine == sorted(mine), f"queue {queue} is out of order"


def take_and_ack_half(work, known):
    taken = work.run("take", known.topic, GROUP, TAKEN_PER_ROUND, LONG_LEASE_S)
    for _, identity, _, _, attempt, handle in taken:
        assert identity not in known.acked, f"{identity} was acknowledged and came again"
        assert identity not in known.leased, f"{identity} is leased and came again"
        assert attempt == "1", f"{identity} came with attempt {attempt}"
        known.leased[identity] = handle
    ack(work, known, [line[1] for line in taken[::2]])


def ack(work, known, identities):
    lines = "".join(f"{identity} {known.leased[identity]}\n" for identity in identities)
    for _, identity, code in work.run("ack", known.topic, GROUP, stdin=lines):
        assert code == OK, f"ack of {identity} said {code}"
        del known.leased[identity]
        known.acked.add(identity)


def drain(process, known, lock):
    text = process.communicate()[0]
    with lock:
        known.note_sends(text)


def kill_in_recovery(broker, chance):
    """Start it, and kill it wherever it is by then."""
    with open(broker.log, "ab") as log:
        process = spawn(broker.command, stdout=log, stderr=log)
    time.sleep(chance.uniform(0, START_S))
    process.kill()
    process.wait()


def one_round(broker, work, known, number, chance):
    lock = threading.Lock()
    senders = [work.start("send", known.topic, f"many-{number}", 64, 1000000),
               work.start("send", known.topic, f"one-{number}", 1, 1000000)]
    readers = [threading.Thread(target=drain, args=(s, known, lock)) for s in senders]
    for reader in readers:
        reader.start()
    take_and_ack_half(work, known)
    time.sleep(chance.uniform(0, 0.4))      # the moment of death is the random part
    broker.kill()
    for reader in readers:
        reader.join()
    for _ in range(chance.choice([0, 0, 1, 2])):
        kill_in_recovery(broker, chance)
        known.killed_starts += 1
    broker.start()
    known.check_log(work.run("read", known.topic, QUEUES), number)
    ack(work, known, list(known.leased)[:1])     # a handle from before the kill
    print(f"round {number}: {len(known.answered)} answered, {len(known.unknown)} unknown, "
          f"{len(known.acked)} acknowledged, {len(known.leased)} leased", flush=True)


def check_the_rest(work, known):
    """Everything that was neither acknowledged nor is leased comes exactly once more."""
    ack(work, known, list(known.leased))
    rest = [line[1] for line in work.run("take", known.topic, GROUP, 10 ** 6, LONG_LEASE_S)]
    assert len(rest) == len(set(rest)), "a message came twice"
    wanted = set(known.places.values()) - known.acked
    assert set(rest) == wanted, (f"{len(wanted - set(rest))} missing, "
                                 f"{len(set(rest) - wanted)} too many")


def main():
    bin_dir, program = sys.argv[1], sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    rounds = min(rounds, int(os.environ.get("SKUA_KILL9_ROUNDS", rounds)))
    flush = sys.argv[4] if len(sys.argv) > 4 else "sync"
    modes = ["sync", "async"] if flush == "both" else [flush]
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}, {rounds} rounds, flush {flush}")
    chance, ages = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, folder) as cluster:
        broker = cluster.dev("--flush", modes[0], *SMALL)
        work = Workload(program, broker.listen)
        for number in range(rounds):
            if number % AGE == 0:
                if ages:
                    check_the_rest(work, ages[-1])
                ages.append(Known(f"killed-{len(ages)}"))
                cluster.skua("topic", "create", ages[-1].topic, "--queues", QUEUES)
            broker.command[broker.command.index("--flush") + 1] = modes[(number + 1) % len(modes)]
            one_round(broker, work, ages[-1], number, chance)
        check_the_rest(work, ages[-1])
        for known in ages:
            known.check_log(work.run("read", known.topic, QUEUES), None)
        broker.stop()
        segments = len(list(Path(folder).rglob("*.log")))
    killed_starts, answered, acked = (sum(column) for column in zip(
        *[(known.killed_starts, len(known.answered), len(known.acked)) for known in ages]))
    print(f"{rounds} kills under load and {killed_starts} during a start ({flush}): "
          f"{answered} answered messages all there, once, in order, in {segments} segments; "
          f"{acked} acknowledgements kept")


if __name__ == "__main__":
    main()
