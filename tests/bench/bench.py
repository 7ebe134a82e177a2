#!/usr/bin/env python3
"""Skua against a bare gRPC echo, in one run on one machine; scripts/bench.sh builds and calls it.

    bench.py BIN_DIR [--repetitions 5] [--seconds 4] [--json FILE]

The echo (bench-echo) is the C core alone: what it does is the ceiling of any broker on gRPC. The
same load generator (bench-load) sends the same bytes, what an official client would send, to the
echo and to a broker with --flush async and --flush sync, one after the other, repetition by
repetition, so that a busy minute hits all of them. Rates are messages per second; CPU is the
server's user + system time per message. The median of the repetitions and their spread are shown.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from cluster import Cluster, spawn  # noqa: E402

SEND = "/apache.rocketmq.v2.MessagingService/SendMessage"
TOPIC = "bench"
# name, messages in a request, requests in flight
SENDS = [("1 KiB, 1 in flight", 1, 1), ("1 KiB, 16 in flight", 1, 16),
         ("1 KiB, 64 in flight", 1, 64), ("64 x 1 KiB, 16 in flight", 64, 16)]


class Echo:
    """The bare echo server."""

    def __init__(self, bin_dir):
        self.process = spawn([Path(bin_dir) / "bench-echo", "0"], stdout=subprocess.PIPE, text=True)
        self.listen = f"127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(bin_dir, server, request, in_flight, seconds, method):
    command = [Path(bin_dir) / "bench-load", "--target", server.listen, "--request", request,
               "--in-flight", in_flight, "--seconds", seconds, "--server-pid", server.pid,
               "--header", "x-mq-client-id=bench"]
    if method:
        command += ["--method", method]
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    if result.get("errors"):
        raise RuntimeError(f"{result['errors']} calls failed: {done.stdout}{done.stderr}")
    return result


def make_requests(bin_dir, folder):
    files = {}
    for batch in sorted({batch for _, batch, _ in SENDS}):
        files[batch] = Path(folder) / f"request-{batch}"
        with open(files[batch], "wb") as out:
            subprocess.run([Path(bin_dir) / "bench-make-request", TOPIC, str(batch), "1024"],
                           stdout=out, check=True)
    return files


def measure_sends(args, folder, results):
    requests = make_requests(args.bin_dir, folder)
    with Cluster(args.bin_dir, folder) as cluster:
        echo = Echo(args.bin_dir)
        servers = [("echo", echo, None)]
        for flush in ("async", "sync"):
            server = cluster._start(flush, "skua", "dev", "--listen", "127.0.0.1:0", "--listen-tls",
                                    "off", "--data", Path(folder) / flush, "--flush", flush)
            servers.append((flush, server, SEND))
        sent = {}
        for _ in range(args.repetitions):
            for name, batch, in_flight in SENDS:
                for who, server, method in servers:
                    got = load(args.bin_dir, server, requests[batch], in_flight, args.seconds, method)
                    results.setdefault((name, who), []).append(per_message(got, batch))
                    sent[who] = sent.get(who, 0) + got["calls"] * batch
                    print(".", end="", file=sys.stderr, flush=True)
        echo.stop()
        for who, server, method in servers[1:]:
            check_stored(args.bin_dir, server, sent[who])


def check_stored(bin_dir, server, at_least):
    """An answer may say no, and gRPC calls that a success: count what is really there."""
    out = subprocess.run([Path(bin_dir) / "skua", "topic", "describe", TOPIC, "-o", "json",
                          "--namesrv", server.listen], capture_output=True, text=True, check=True)
    stored = sum(queue["max_offset"] for queue in json.loads(out.stdout)["queues"])
    if stored < at_least:
        raise RuntimeError(f"{at_least} messages were answered, {stored} are stored")


def per_message(got, batch):
    return {"rate": got["rate"] * batch, "p50": got["p50_us"], "p99": got["p99_us"],
            "cpu": got["server_cpu_us_per_call"] / batch}


def measure_receive(args, folder, results):
    """Messages laid down first, then received and acknowledged by the command line's bench."""
    with Cluster(args.bin_dir, folder) as cluster:
        server = cluster.dev("--flush", "async")
        for n in range(args.repetitions):
            topic = f"r{n}"
            cluster.skua("topic", "create", topic, "--queues", 8)
            cluster.skua("bench", "send", topic, "--size", 1024, "--batch", 64, "--count", 200000,
                         timeout_s=120)
            out = cluster.skua("bench", "receive", topic, "--group", f"g{n}", "--count", 200000,
                               "--no-fill", "--server-pid", server.pid, "-o", "json", timeout_s=120)
            got = json.loads(out)
            results.setdefault(("receive (batches of 32) + ack", "async"), []).append(
                {"rate": got["messages_per_second"], "p50": None, "p99": None,
                 "cpu": got.get("server_cpu_us_per_message")})
            print(".", end="", file=sys.stderr, flush=True)


def median(rows, key):
    values = [row[key] for row in rows if row[key] is not None]
    return statistics.median(values) if values else None


def show(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def report(results):
    names = list(dict.fromkeys(name for name, _ in results))
    print("\n| load | server | messages/s (min .. max) | of the echo | p50 µs | p99 µs | server CPU "
          "µs/message |\n|---|---|---|---|---|---|---|")
    for name in names:
        ceiling = median(results.get((name, "echo"), []), "rate")
        for who in ("echo", "async", "sync"):
            rows = results.get((name, who))
            if not rows:
                continue
            rates = [row["rate"] for row in rows]
            ratio = f"{median(rows, 'rate') / ceiling:.2f}" if ceiling else ""
            print(f"| {name} | {who} | {show(median(rows, 'rate'))} ({show(min(rates))} .. "
                  f"{show(max(rates))}) | {ratio} | {show(median(rows, 'p50'))} | "
                  f"{show(median(rows, 'p99'))} | {show(median(rows, 'cpu'), 2)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, load "
          f"{os.getloadavg()[0]:.1f}, {args.repetitions} repetitions of {args.seconds:g} s")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        measure_sends(args, folder, results)
    with tempfile.TemporaryDirectory() as folder:
        measure_receive(args, folder, results)
    report(results)
    if args.json:
        rows = [{"load": name, "server": who, "repetitions": found}
                for (name, who), found in results.items()]
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
