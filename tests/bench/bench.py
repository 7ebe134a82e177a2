#!/usr/bin/env python3
"""Skua against a bare gRPC echo, and against its own targets, in one run on one machine.

    bench.py BIN_DIR [--only GROUP,…] [--repetitions 5] [--seconds 3] [--pin] [--peers JARS]
             [-o json] [--json FILE] [--hold COMMAND] [--against BIN_DIR]

scripts/bench.sh builds and calls it. The echo (bench-echo) is the C core alone: what it does is the
ceiling of any broker on gRPC. The same load generator sends the same bytes, what an official
client would send, to all servers in turns, repetition by repetition, so that a busy minute hits
all of them. Rates are messages per second; CPU is the server's user + system time per message;
"per core" is what that time allows one core. Medians of the repetitions are compared with the targets; their
spread is shown.

Groups: send, batch, receive, latency, topics, backlog, start, idle (default: all).
--against measures the servers of another build, as of the commit before, beside ours: turn by
turn within each repetition, so that one table has what of the rate is left and what more it costs.
--pin ties servers to core 0 and load generators to core 1. --peers measures Apache RocketMQ, whose
jars are in JARS, in the groups send, batch, receive and latency. --hold is for machines where
others work: the command is run for each repetition and each warm-up, which begins when it prints a
line and ends it by closing its standard input.
"""
import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import groups  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
from cluster import Cluster  # noqa: E402
from servers import BEFORE  # noqa: E402

TIMEOUT_S = 600
HEADERS = ("x-mq-client-id=bench", "x-mq-language=CPP", "x-mq-client-version=5.0.8",
           "x-mq-protocol=v2", "x-mq-date-time=20261121T000000Z")


class Bench:
    """One run: its folder, its tools, and the samples taken so far."""

    def __init__(self, args, folder):
        self.bin, self.folder = Path(args.bin_dir).resolve(), Path(folder)
        self.repetitions, self.seconds, self.jars = args.repetitions, args.seconds, args.peers
        self.server_prefix = ["taskset", "-c", "0"] if args.pin else []
        self.client_prefix = ["taskset", "-c", "1"] if args.pin else []
        self.hold, self.against = args.hold, args.against
        self.clusters = {}
        self.samples = {}
        self.requests = {}

    def request(self, kind, *words):
        """The file with this request (see make_request.c)."""
        key = (kind, *map(str, words))
        if key not in self.requests:
            path = self.folder / f"{'-'.join(key)}.bin"
            with open(path, "wb") as out:
                subprocess.run([self.bin / "bench-make-request", *key], stdout=out, check=True)
            self.requests[key] = path
        return self.requests[key]

    def tool(self, tool, listen, pid, *words):
        command = [*self.client_prefix, self.bin / f"bench-{tool}", "--target", listen]
        for header in HEADERS:
            command += ["--header", header]
        command += ["--server-pid", pid] if pid else []
        done = subprocess.run([str(word) for word in [*command, *words]], capture_output=True,
                              text=True, timeout=TIMEOUT_S)
        result = json.loads(done.stdout) if done.stdout else {"errors": done.stderr}
        if done.returncode != 0 or result.get("errors"):
            raise RuntimeError(f"bench-{tool} {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return result

    def load(self, server, request, *words):
        """bench-load against a server; its JSON."""
        check = ["--check"] if server.method != "/bench.Echo/Call" else []
        return self.tool("load", server.listen, server.pid, "--method", server.method,
                         "--request", request, *check, *words)

    def consume(self, server, topic, group, *words, batch=32, acks=True):
        words = ["--receive", self.request("receive", topic, group, batch), *words]
        if acks:
            words += ["--ack", self.request("ack", topic, group)]
        if server.settings:
            words += ["--settings", self.request("settings", topic, group)]
        return self.tool("consume", server.listen, server.pid, *words)

    def stream(self, echo, count):
        """bench-consume against the echo's stream of 32 messages of 1 KiB."""
        return self.tool("consume", echo.listen, echo.pid, "--method", "/bench.Echo/Stream",
                         "--receive", self.request("receive", "t", "g", 32),
                         "--warmup-messages", count // 10, "--messages", count)

    def sample(self, load, server, got, batch=1):
        """Keep what bench-load (its calls have `batch` messages each) or bench-consume found."""
        cpu = got.get("server_cpu_us_per_message", got.get("server_cpu_us_per_call", 0) / batch)
        self.keep(load, server.name, rate=got["rate"] * batch, p50_us=got["p50_us"],
                  p99_us=got["p99_us"], p999_us=got["p999_us"], cpu_us=cpu)

    def keep(self, load, name, **values):
        self.samples.setdefault((load, name), []).append(values)
        print(".", end="", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def alone(self):
        """Inside, the machine is ours, if there is a command that sees to it."""
        if not self.hold:
            yield
            return
        holder = subprocess.Popen(self.hold, shell=True, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait()

    def turns(self):
        """The numbers of the repetitions."""
        for n in range(self.repetitions):
            with self.alone():
                yield n

    @contextlib.contextmanager
    def running(self):
        """Room for servers of each build: names end in the key of self.clusters."""
        builds = {"": self.bin} | ({BEFORE: self.against} if self.against else {})
        with contextlib.ExitStack() as stack:
            self.clusters = {name: stack.enter_context(Cluster(folder, self.folder, self.server_prefix))
                             for name, folder in builds.items()}
            yield

    def median(self, load, name, key):
        values = [s[key] for s in self.samples.get((load, name), []) if s.get(key) is not None]
        return statistics.median(values) if values else None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir")
    parser.add_argument("--only", default=",".join(groups.GROUPS))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--peers", metavar="JARS")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--folder", help="where the data goes (default: the temporary folder)")
    parser.add_argument("--hold", metavar="COMMAND")
    parser.add_argument("--against", metavar="BIN_DIR")
    args = parser.parse_args()
    args.only = args.only.split(",")
    unknown = set(args.only) - set(groups.GROUPS)
    if unknown:
        parser.error(f"no group is called {', '.join(unknown)}; they are {', '.join(groups.GROUPS)}")
    return args


def run_group(bench, name):
    """False: it failed, which is no reason to throw away what others found."""
    print(f"\n{name} ", end="", file=sys.stderr, flush=True)
    (bench.folder / name).mkdir()
    bench.folder = bench.folder / name
    try:
        with bench.running():
            groups.GROUPS[name](bench)
    except Exception:
        traceback.print_exc()
        return False
    finally:
        bench.requests, bench.folder = {}, bench.folder.parent
    return True


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="skua-bench-", dir=args.folder) as folder:
        facts = machine.facts(folder) | {"repetitions": args.repetitions, "seconds": args.seconds,
                                         "pinned": args.pin}
        before = machine.ticks()
        bench = Bench(args, folder)
        facts["fdatasync_us"] = round(machine.fdatasync_us(folder), 1)
        failed = [name for name in args.only if not run_group(bench, name)]
        facts["steal_percent"] = round(machine.steal_percent(before, machine.ticks()), 2)
    print(file=sys.stderr)
    found = report.as_json(bench, facts)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))
    if args.output == "json":
        json.dump(found, sys.stdout, indent=1)
    else:
        report.print_text(bench, facts)
    if failed:
        sys.exit(f"not measured to the end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
