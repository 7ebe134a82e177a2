#!/usr/bin/env python3
"""The command line and libskua against two name servers and two brokers, some of which die.

    cli_cluster.py BIN_DIR
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from cli import NOT_FOUND, USAGE, Shell  # noqa: E402
from cluster import Cluster, spawn, wait_until  # noqa: E402


def everywhere(sh):
    """Created on every broker, of one cluster, on one broker."""
    made = sh.json("topic", "create", "orders", "--queues", 2)
    assert [b["broker"] for b in made["brokers"]] == ["broker-a", "broker-b"], made
    route = sh.json("route", "orders")["queues"]
    assert [(q["broker"], q["id"]) for q in route] == [
        ("broker-a", 0), ("broker-a", 1), ("broker-b", 0), ("broker-b", 1)], route
    made = sh.json("topic", "create", "only-a", "--broker", "broker-a")
    assert [b["broker"] for b in made["brokers"]] == ["broker-a"], made
    assert {q["broker"] for q in sh.json("topic", "describe", "only-a")["queues"]} == {"broker-a"}
    nobody = sh.error("topic", "create", "x", "--cluster", "elsewhere", want=NOT_FOUND)
    assert "cluster elsewhere" in nobody["message"] and "skua cluster" in nobody["hint"], nobody
    made = sh.json("group", "create", "billing")
    assert [b["broker"] for b in made["brokers"]] == ["broker-a", "broker-b"], made
    listed = {g["name"]: g["brokers"] for g in sh.json("group", "list")["groups"]}
    assert listed["billing"] == ["broker-a", "broker-b"], listed


def both_in_turn(sh):
    sent = sh.lines("send", "orders", "--body", "x", "--count", 100)
    assert {m["broker"] for m in sent} == {"broker-a", "broker-b"}
    share = sum(m["broker"] == "broker-a" for m in sent)
    assert share == 50, share
    # What a poll that is called off had on its way comes again when its lease is over.
    got = sh.lines("receive", "orders", "--group", "billing", "--count", 100, "--wait", 20,
                   "--invisible", 15)
    assert sorted(m["message_id"] for m in got) == sorted(m["message_id"] for m in sent)
    assert sh.json("group", "describe", "billing")["lag"] == 0
    unclear = sh.error("pull", "orders", "--queue", 0, want=USAGE)
    assert "broker-a or broker-b" in unclear["message"] and "--broker" in unclear["hint"], unclear
    assert sh.lines("pull", "orders", "--queue", 0, "--broker", "broker-b", "--count", 1)


def survives(sh, servers, brokers):
    servers[0].kill()
    assert len(sh.json("route", "orders")["queues"]) == 4
    sh.run("send", "orders", "--body", "one name server left", "--count", 4)

    # The name server may still list it: no error reaches the caller all the same.
    brokers[0].kill()
    sent = sh.lines("send", "orders", "--body", "one broker left", "--count", 50)
    assert {m["broker"] for m in sent} == {"broker-b"}
    states = {b["broker"]: b["state"] for b in sh.json("cluster")["brokers"]}
    assert states["broker-b"] == "ok" and states.get("broker-a") != "ok", states
    got = sh.lines("receive", "orders", "--group", "billing", "--count", 52, "--wait", 20)
    assert {m["broker"] for m in got} == {"broker-b"} and len(got) == 52, len(got)

    brokers[0].start()
    wait_until("broker-a is back", lambda: sh.registered() == ["broker-a", "broker-b"], 20)
    got = sh.lines("receive", "orders", "--group", "billing", "--count", 2, "--wait", 20)
    assert {m["broker"] for m in got} == {"broker-a"} and len(got) == 2, got


def goes_on(sh, servers, brokers, bin_dir):
    """A running client loses all name servers and one of two brokers: no error reaches it."""
    servers[0].start()
    wait_until("ns-1 has relearned", lambda: Shell(bin_dir / "skua", servers[0].listen).registered()
               == ["broker-a", "broker-b"], 40)
    sh.run("bench", "send", "steady", "--count", 1)
    bench = spawn([bin_dir / "skua", "bench", "send", "steady", "--rate", 200, "--duration", 5,
                   "-o", "json"], stdout=subprocess.PIPE, env=sh.env, text=True)

    def stored():
        return sum(q["max_offset"] for q in direct("topic", "describe", "steady")["queues"])

    def direct(*words):
        return Shell(bin_dir / "skua", servers[1].listen).json(*words)

    wait_until("the client sends", lambda: stored() > 50, 20)
    servers[0].kill()
    servers[1].kill()
    brokers[0].kill()
    out, _ = bench.communicate(timeout=60)
    result = json.loads(out)
    assert bench.returncode == 0 and result["errors"] == 0, result
    assert result["messages"] == 1000 or result["messages"] == 1001, result


def main():
    with tempfile.TemporaryDirectory() as folder, Cluster(sys.argv[1], Path(folder)) as cluster:
        servers = [cluster.namesrv("ns-1"), cluster.namesrv("ns-2")]
        brokers = [cluster.broker("broker-a", "--flush", "async"),
                   cluster.broker("broker-b", "--flush", "async")]
        sh = Shell(Path(sys.argv[1]) / "skua", cluster.access(separator=","))
        for server in servers:
            one = Shell(Path(sys.argv[1]) / "skua", server.listen)
            wait_until("both brokers are registered",
                       lambda: one.registered() == ["broker-a", "broker-b"], 20)
        everywhere(sh)
        both_in_turn(sh)
        survives(sh, servers, brokers)
        goes_on(sh, servers, brokers, Path(sys.argv[1]))
    print("the command line sees a cluster as one")


if __name__ == "__main__":
    main()
