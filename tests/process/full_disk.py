#!/usr/bin/env python3
"""A file system that fills up under a broker, and is freed again.

    full_disk.py BIN_DIR

A tmpfs of a few MiB in a mount namespace of its own; where that is not allowed the test ends with
77, which CTest shows as skipped. Twice: with the watermark (disk_refuse), and with a disk that is
truly out of blocks. Each time:

  * sends are refused, with TOO_MANY_REQUESTS and a text that says what to do;
  * reading, receiving and acknowledging go on, and so does the process;
  * when room is made sends work again, without a restart;
  * after kill -9 on the full disk the broker starts there, and has all that it answered.

And once more with no descriptor left to make the next segment with (RLIMIT_NOFILE).
"""
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import api  # noqa: E402
from bad_requests import ack, message, name, pull, receive, send  # noqa: E402
from cluster import Cluster, wait_until  # noqa: E402

SKIPPED, DISK_MIB, BALLAST_MIB, SEGMENT_MIB = 77, 20, 6, 2
BODY, MOST_SENDS, LEASED, ROUNDS = 60_000, 2000, 4, 10
TOPIC = "orders"


def enter_namespace():
    """Become the same script where we may mount."""
    if os.environ.get("SKUA_TESTS_MOUNTS"):
        return
    for way in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        if subprocess.run([*way, "true"], capture_output=True).returncode == 0:
            os.environ["SKUA_TESTS_MOUNTS"] = "yes"
            os.execvp(way[0], [*way, sys.executable, *sys.argv])
    print("skipped: this machine lets nobody make a mount namespace")
    sys.exit(SKIPPED)


def code(status):
    return api.code_name(status.code)


class Broker:
    def __init__(self, server, client):
        self.server, self.client = server, client
        self.answered = 0

    def send(self):
        [answer] = self.client.unary("SendMessage", send(
            message(topic=TOPIC, size=BODY, messageId=f"id-{self.answered}")))
        self.answered += code(answer.status) == "OK"
        return answer.status

    def fill(self):
        """Until a send is refused."""
        for _ in range(MOST_SENDS):
            status = self.send()
            if code(status) != "OK":
                return status
        raise AssertionError(f"{MOST_SENDS} sends went into {DISK_MIB} MiB")

    def receive(self, count):
        responses = self.client.unary("ReceiveMessage", receive(
            messageQueue={"topic": name(TOPIC)}, batchSize=count, invisibleDuration="600s"))
        first, *others = responses
        assert code(first.status) == "OK", first
        return [r.message for r in others if r.WhichOneof("content") == "message"]

    def ack(self, messages):
        [answer] = self.client.unary("AckMessage", ack(
            *[m.system_properties.receipt_handle for m in messages], topic=name(TOPIC)))
        assert code(answer.status) == "OK", answer

    def read_all(self):
        ids, offset = [], 0
        while True:
            responses = self.client.unary("PullMessage", pull(
                topic=TOPIC, offset=offset, batchSize=32))
            got = [r.message.system_properties.message_id for r in responses
                   if r.WhichOneof("content") == "message"]
            if not got:
                return ids
            ids, offset = ids + got, offset + len(got)

    def check_all_there(self):
        want = [f"id-{k}" for k in range(self.answered)]
        found = self.read_all()
        assert found == want, f"{len(found)} messages, {len(want)} were answered"


def check_refusal(status, *words):
    assert code(status) == "TOO_MANY_REQUESTS", status
    for word in (*words, "sends are refused", "free some room"):
        assert word in status.message, f"'{word}' is not in: {status.message}"


@contextlib.contextmanager
def small_disk(folder):
    disk = Path(folder) / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def start(cluster, disk, *options):
    return cluster.broker("broker", "--data", disk / "data", "--segment-size", f"{SEGMENT_MIB}MiB",
                          "--snapshot-distance", "1MiB", *options)


def make_topic(client):
    client.unary("skua.v1.BrokerAdmin/CreateTopic",
                 {"topic": {"name": TOPIC, "read_queues": 1, "write_queues": 1}})
    client.unary("skua.v1.BrokerAdmin/CreateGroup", {"group": {"name": "billing"}})


def one_full_disk(bin_dir, what, options, words):
    with tempfile.TemporaryDirectory() as folder, small_disk(folder) as disk, \
            Cluster(bin_dir, folder) as cluster:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(BALLAST_MIB << 20))
        server = start(cluster, disk, *options)
        with api.Client(server.listen) as client:
            broker = Broker(server, client)
            make_topic(client)
            broker.fill()
            check_refusal(broker.send(), *words)
            for _ in range(ROUNDS):                 # reading and acknowledging go on
                broker.ack(broker.receive(LEASED))
            broker.check_all_there()
            check_refusal(broker.send(), *words)
            assert server.alive

            full_at = broker.answered
            ballast.unlink()
            wait_until("sends work again", lambda: code(broker.send()) == "OK", 30)
            broker.fill()                           # full once more
            broker.check_all_there()
            assert broker.answered > full_at + 10, f"{broker.answered - full_at} more"
        server.kill()
        server.start()
        with api.Client(server.listen) as client:
            broker.client = client
            broker.check_all_there()
            broker.ack(broker.receive(LEASED))
            assert client.is_serving()
        server.stop()
    print(f"{what}: {full_at} sends, then refused; {ROUNDS} receives and acknowledgements on the full "
          f"disk; {broker.answered - full_at} sends more when there was room", flush=True)


def no_descriptors(bin_dir):
    """The limit is lowered to what is open, so that the next segment cannot be made."""
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, folder) as cluster:
        server = start(cluster, Path(folder))
        with api.Client(server.listen) as client:
            broker = Broker(server, client)
            make_topic(client)
            assert code(broker.send()) == "OK"
            soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            used = max(int(fd) for fd in os.listdir(f"/proc/{server.pid}/fd")) + 1
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used, hard))
            status = broker.fill()
            assert code(status) in ("INTERNAL_SERVER_ERROR", "TOO_MANY_REQUESTS"), status
            assert "Too many open files" in status.message, status
            broker.check_all_there()
            assert server.alive
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert code(broker.send()) == "OK"
            broker.check_all_there()
        server.kill()
        server.start()
        with api.Client(server.listen) as client:
            broker.client = client
            broker.check_all_there()
        server.stop()
    print(f"no descriptors: refused at send {broker.answered}, went on when there were some")


def main():
    bin_dir = sys.argv[1]
    if not os.environ.get("SKUA_TESTS_MOUNTS"):
        no_descriptors(bin_dir)
    enter_namespace()
    # 14 MiB of 20 are ours at first: seven segments.
    one_full_disk(bin_dir, "above the mark", ["--disk-refuse", "80", "--disk-clean", "100"],
                  ["% full", "above 80 %"])
    one_full_disk(bin_dir, "no block left", ["--disk-refuse", "100", "--disk-clean", "100"],
                  ["no room for another log segment of 2 MiB"])


if __name__ == "__main__":
    main()
