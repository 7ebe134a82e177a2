#!/usr/bin/env python3
"""The command line, as a user types it, against `skua dev`: what is printed, and the exit codes.

    cli.py BIN_DIR
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from cluster import Cluster  # noqa: E402

OK, FAILURE, USAGE, NOT_FOUND, UNAVAILABLE = 0, 1, 2, 3, 4


class Shell:
    def __init__(self, program, servers):
        self.program = program
        self.env = {**os.environ, "NAMESRV_ADDR": servers}

    def run(self, *words, want=OK, stdin=b""):
        done = subprocess.run([self.program, *map(str, words)], input=stdin, capture_output=True,
                              env=self.env, timeout=60)
        assert done.returncode == want, (
            f"skua {' '.join(map(str, words))}: exit {done.returncode}, not {want}\n"
            f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
        return done

    def text(self, *words, **options):
        return self.run(*words, **options).stdout.decode()

    def json(self, *words, **options):
        return json.loads(self.run(*words, "-o", "json", **options).stdout)

    def registered(self):
        """The names of the brokers that the name server takes for well, in order."""
        return sorted(b["broker"] for b in self.json("cluster")["brokers"] if b["state"] == "ok")

    def lines(self, *words, **options):
        return [json.loads(line) for line in
                self.run(*words, "-o", "json", **options).stdout.splitlines()]

    def error(self, *words, want, **options):
        return json.loads(self.run(*words, "-o", "json", want=want, **options).stderr)["error"]


def topics(sh):
    made = sh.json("topic", "create", "orders", "--queues", 4)
    assert made["name"] == "orders" and made["type"] == "normal" and made["queues"] == 4, made
    assert [b["created"] for b in made["brokers"]] == [True], made
    again = sh.json("topic", "create", "orders", "--queues", 4)
    assert [b["created"] for b in again["brokers"]] == [False], again
    differs = sh.error("topic", "create", "orders", "--queues", 5, want=FAILURE)
    assert "skua topic describe orders" in differs["hint"], differs

    listed = {t["name"]: t for t in sh.json("topic", "list")["topics"]}
    assert listed["orders"]["queues"] == 4, listed
    assert "orders" in sh.text("topic", "list")

    told = sh.json("topic", "describe", "orders")
    assert [q["id"] for q in told["queues"]] == [0, 1, 2, 3], told
    for queue in told["queues"]:
        assert set(queue) == {"id", "broker", "min_offset", "max_offset"}, queue
        assert queue["min_offset"] == queue["max_offset"] == 0, queue
    assert "MAX OFFSET" in sh.text("topic", "describe", "orders")

    route = sh.json("route", "orders")
    assert [q["id"] for q in route["queues"]] == [0, 1, 2, 3], route
    assert route["queues"][0]["permission"] == "read_write", route

    for words in (("topic", "describe", "nowhere"), ("topic", "delete", "nowhere", "--yes"),
                  ("group", "describe", "nobody"), ("topic", "describe", "orders", "--broker", "x")):
        missing = sh.error(*words, want=NOT_FOUND)
        assert missing["code"] == "not_found" and missing["hint"], missing
    return told["queues"][0]["broker"]


def groups(sh):
    made = sh.json("group", "create", "billing", "--max-attempts", 5)
    assert made["max_attempts"] == 5 and made["orderly"] is False, made
    listed = {g["name"]: g for g in sh.json("group", "list")["groups"]}
    assert listed["billing"]["max_attempts"] == 5, listed
    told = sh.json("group", "describe", "billing")
    assert told["lag"] == 0 and told["clients"] == [], told


def messages(sh, broker):
    sent = sh.lines("send", "orders", "--body", "first", "--tag", "new", "--key", "k 1", "--key", "k2",
                    "--property", "colour=blue", "--property", "equation=a=b")
    assert len(sent) == 1 and set(sent[0]) == {"message_id", "topic", "broker", "offset"}, sent
    assert len(sent[0]["message_id"]) == 34, sent

    got = sh.lines("receive", "orders", "--group", "billing", "--count", 1, "--wait", 20)
    assert len(got) == 1, got
    first = got[0]
    assert first["message_id"] == sent[0]["message_id"], (first, sent)
    assert first["body"] == "first" and first["tag"] == "new", first
    assert first["keys"] == ["k 1", "k2"], first
    assert first["properties"] == {"colour": "blue", "equation": "a=b"}, first
    assert first["delivery_attempt"] == 1 and first["topic"] == "orders", first
    assert first["broker"] == broker and first["offset"] == sent[0]["offset"], first
    assert first["store_timestamp"].endswith("Z") and first["receipt_handle"], first

    # bytes that are no text, from stdin
    sh.lines("send", "orders", "--file", "-", stdin=b"\xff\x00\xfe")
    got = sh.lines("receive", "orders", "--group", "billing", "--wait", 20)
    assert got[0]["body_base64"] == "/wD+" and "body" not in got[0], got

    # many, each with its own id, all of them received once
    ids = [m["message_id"] for m in sh.lines("send", "orders", "--body", "x", "--count", 500)]
    assert len(set(ids)) == 500
    got = sh.lines("receive", "orders", "--group", "billing", "--count", 500, "--wait", 20)
    assert sorted(m["message_id"] for m in got) == sorted(ids)
    assert {m["delivery_attempt"] for m in got} == {1}

    total = sum(q["max_offset"] - q["min_offset"]
                for q in sh.json("topic", "describe", "orders")["queues"])
    assert total == 502, total
    assert sh.json("group", "describe", "billing")["lag"] == 0

    # none left: an empty answer, no error
    done = sh.run("receive", "orders", "--group", "billing", "--wait", 0.3)
    assert done.stdout == b"" and b"no message within 0.3s" in done.stderr, done

    # a filter, and no acknowledgement
    sh.run("send", "orders", "--body", "a", "--tag", "A")
    sh.run("send", "orders", "--body", "b", "--tag", "B")
    got = sh.lines("receive", "orders", "--group", "filtered", "--filter", "B", "--count", 1,
                   "--wait", 20, "--no-ack")
    assert [m["body"] for m in got] == ["b"], got
    assert "BODY" in sh.text("receive", "orders", "--group", "billing", "--wait", 20)

    usage = sh.error("send", "orders", "--body", "x", "--file", "y", want=USAGE)
    assert usage["hint"], usage
    sh.error("send", "orders", "--file", "/nowhere/at/all", want=NOT_FOUND)


def pulls(sh, broker):
    queues = sh.json("topic", "describe", "orders")["queues"]
    full = max(queues, key=lambda q: q["max_offset"])
    got = sh.lines("pull", "orders", "--queue", full["id"], "--offset", "beginning", "--count", 10)
    assert [m["offset"] for m in got] == list(range(10)), got
    assert {m["broker"] for m in got} == {broker} and "receipt_handle" not in got[0], got[0]
    again = sh.lines("pull", "orders", "--queue", full["id"], "--offset", 7, "--count", 2,
                     "--broker", broker)
    assert [m["message_id"] for m in again] == [m["message_id"] for m in got[7:9]]
    everything = sh.lines("pull", "orders", "--queue", full["id"], "--count", 100000)
    assert len(everything) == full["max_offset"] - full["min_offset"]
    at_end = sh.run("pull", "orders", "--queue", full["id"], "--offset", "end")
    assert at_end.stdout == b"" and b"end of queue" in at_end.stderr, at_end
    old = sh.lines("pull", "orders", "--queue", full["id"], "--offset", "2020-01-01", "--count", 1)
    assert old[0]["offset"] == 0, old
    beyond = sh.error("pull", "orders", "--queue", full["id"], "--offset", 10**9, want=FAILURE)
    assert beyond["reply"] == 40019 and "describe" in beyond["hint"], beyond
    sh.error("pull", "orders", "--queue", 99, want=NOT_FOUND)
    sh.error("pull", "orders", "--queue", 0, "--broker", "elsewhere", want=NOT_FOUND)


def cluster_and_bench(sh, broker):
    brokers = sh.json("cluster")["brokers"]
    assert [b["broker"] for b in brokers] == [broker], brokers
    assert brokers[0]["state"] == "ok" and brokers[0]["log_bytes"] > 0, brokers
    assert "ADDRESS" in sh.text("cluster")

    result = sh.json("bench", "send", "--count", 500, "--in-flight", 8)
    assert result["messages"] == 500 and result["errors"] == 0, result
    assert result["latency_us"]["p50"] > 0, result
    result = sh.json("bench", "send", "--count", 512, "--batch", 64, "--in-flight", 2)
    assert result["messages"] == 512 and result["batch"] == 64, result
    result = sh.json("bench", "receive", "--count", 300, "--in-flight", 2)
    assert result["messages"] >= 300 and result["errors"] == 0, result
    result = sh.json("bench", "latency", "--count", 100, "--rate", 200)
    assert result["messages"] == 100 and result["latency_us"]["max"] > 0, result


def deletes(sh):
    refused = sh.error("topic", "delete", "orders", want=USAGE)
    assert "--yes" in refused["hint"], refused
    assert sh.json("topic", "delete", "orders", "--yes")["name"] == "orders"
    sh.error("topic", "describe", "orders", want=NOT_FOUND)
    assert sh.json("group", "delete", "billing", "--yes")["name"] == "billing"
    sh.error("group", "describe", "billing", want=NOT_FOUND)


def examples(sh, folder):
    """The example programs do what they say."""
    address = sh.env["NAMESRV_ADDR"]
    stored = subprocess.run([folder / "send", address], capture_output=True, text=True, timeout=60)
    assert stored.returncode == 0 and "is stored on" in stored.stdout, stored
    many = subprocess.run([folder / "send_async", address], capture_output=True, text=True, timeout=60)
    assert many.stdout == "1000 stored, 0 failed\n", many
    read = subprocess.run([folder / "pull", address], capture_output=True, text=True, timeout=60)
    assert read.returncode == 0 and len(read.stdout.splitlines()) == 1001, read.stderr


def stopped(program, folder, data, sh):
    """After the broker's end: the store is whole, and nobody answers."""
    whole = sh.json("verify", data)
    assert whole["ok"] is True and whole["records"] > 500 and whole["findings"] == [], whole
    records = sh.lines("dump", data, "--count", 5)
    assert len(records) == 5 and {"position", "size", "kind", "name", "epoch"} <= set(records[0]), records
    assert "RECORD" in sh.text("dump", data, "--count", 1)
    assert records[0]["name"] == "epoch" and records[0]["epoch"] == 1, records[0]
    sh.error("verify", folder / "nowhere", want=NOT_FOUND)
    sh.error("dump", folder / "nowhere", want=NOT_FOUND)
    gone = sh.error("topic", "list", want=UNAVAILABLE)
    assert "skua dev" in gone["hint"], gone
    gone = sh.error("send", "orders", "--body", "x", want=UNAVAILABLE)
    assert gone["code"] == "unavailable", gone


def main():
    bin_dir = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, Path(folder)) as cluster:
        dev = cluster.dev("--flush", "async")
        sh = Shell(bin_dir / "skua", dev.ready["listen"])
        broker = topics(sh)
        groups(sh)
        messages(sh, broker)
        pulls(sh, broker)
        cluster_and_bench(sh, broker)
        examples(sh, bin_dir.parent / "examples")
        deletes(sh)
        tls = Shell(bin_dir / "skua", dev.ready["listen-tls"])
        assert tls.json("cluster", "--insecure")["brokers"], "TLS"
        taken = sh.error("dev", "--listen", dev.ready["listen"], "--data", Path(folder) / "other",
                         want=FAILURE)
        assert "--listen" in taken["hint"], taken
        dev.stop()
        stopped(bin_dir / "skua", Path(folder), Path(folder) / "dev", sh)
    print("the command line does what it says")


if __name__ == "__main__":
    main()
