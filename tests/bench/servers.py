"""What is measured: each server has a name, an address, the processes whose CPU and memory count,
and the names that its topics go by."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / part)
                for part in ("support", "clients")]
from apache.apache import Apache  # noqa: E402
from cluster import spawn  # noqa: E402

BEFORE = " before"  # what the names of servers of --against end in
SEND = "/apache.rocketmq.v2.MessagingService/SendMessage"


class Echo:
    """The C core alone: the ceiling."""
    name, method, settings = "echo", "/bench.Echo/Call", False
    program = "bench-echo"

    def __init__(self, bench):
        self.process = spawn(bench.server_prefix + [bench.bin / self.program, "0"],
                             stdout=subprocess.PIPE, text=True)
        self.listen = f"127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        self.pid = self.process.pid

    def pause(self):
        """Nothing runs in it while it is asked nothing."""

    resume = pause

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Relay(Echo):
    """The C core alone, passing messages from sends to receives: the ceiling of that way."""
    name, method, program = "relay", SEND, "bench-relay"

    def topic(self, name, _repetition):
        return name


class Skua:
    """`skua dev`: a name server and a broker in one process, everything default but the flush."""
    method, settings = SEND, False

    def __init__(self, bench, name, flush, build=""):
        """build: of those that bench.clusters has."""
        self.name, self.bench, self.build = name + build, bench, build
        self.folder = bench.folder / self.name.replace(" ", "-")
        self.words = ["dev", "--listen", "127.0.0.1:0", "--listen-tls", "off",
                      "--data", self.folder, "--flush", flush]
        self.server = bench.clusters[build].start(self.folder.name, "skua", *self.words)

    @property
    def listen(self):
        return self.server.listen

    @property
    def pid(self):
        return self.server.pid

    def pause(self):
        """An idle broker takes no CPU."""

    resume = pause

    def topic(self, name, repetition):
        return f"{name}-{repetition}"

    def stop(self):
        self.server.stop()


class RocketMQ:
    """Apache RocketMQ: its gRPC proxy and its broker in one process, and its name server."""
    method, settings = SEND, True
    topics = ("bench", "receive", "latency")

    def __init__(self, bench, jars, name, flush):
        self.name = name
        folder = bench.folder / name
        folder.mkdir()
        self.apache = Apache(jars, folder, heap="4g", collector="G1", flush=f"{flush.upper()}_FLUSH",
                             segment_bytes=1 << 30, prefix=bench.server_prefix)
        self.apache.__enter__()
        self.listen, self.pid = self.apache.access, self.apache.processes[-1].pid
        for topic in self.topics:
            self.apache.administer(topic, 8, ["group"] if topic == self.topics[0] else [])

    def topic(self, name, _repetition):
        return name

    def pause(self):
        """A JVM and its threads are never idle: stopped while others are measured."""
        for process in self.apache.processes:
            os.kill(process.pid, signal.SIGSTOP)

    def resume(self):
        for process in self.apache.processes:
            os.kill(process.pid, signal.SIGCONT)

    def stop(self):
        self.resume()
        self.apache.__exit__()
