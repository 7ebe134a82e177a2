#!/usr/bin/env python3
"""What somebody stumbled over who used Skua for the first time, so that nobody does again.

    newcomer.py BIN_DIR
"""
import base64
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from cli import Shell  # noqa: E402
from cluster import Cluster, wait_until  # noqa: E402


def first_messages_came_in_reverse(sh):
    """Sends that wait for the route, and for the first connection, keep their order. (Unary calls
    under way together may still overtake each other by a few places.)"""
    sh.run("topic", "create", "one", "--queues", 1)
    sent = sh.lines("send", "one", "--body", "x", "--count", 200)
    offsets = [m["offset"] for m in sent]
    assert all(abs(offset - k) < 20 for k, offset in enumerate(offsets)), offsets


OK, FAILURE, USAGE, NOT_FOUND, UNAVAILABLE = 0, 1, 2, 3, 4

# (words, exit code, what stderr says); @ is the folder of the test. What needs no server is in
# tests/clients_c/test_parse.c.
COMMANDS = [
    (["topic", "create", "TBW102"], FAILURE,
     "skua: @server: topic 'TBW102' is reserved for the system\n  see skua topic create --help\n"),
    (["topic", "create", "one", "--queues", "5000"], FAILURE,
     "skua: @server: read_queues is 5000; allowed are 1 to 4096 (max_queues)\n"
     "  see skua topic create --help\n"),
    (["topic", "create", "x", "--broker", "nobody"], NOT_FOUND,
     "skua: there is no broker nobody\n  skua cluster shows the brokers and clusters\n"),
    (["topic", "describe", "nowhere"], NOT_FOUND,
     "skua: @server: no topic 'nowhere' on broker dev\n"
     "  skua topic list shows the topics; make it: skua topic create nowhere\n"),
    (["group", "describe", "nobody"], NOT_FOUND,
     "skua: @server: no consumer group 'nobody' on broker dev\n"
     "  skua group list shows the groups; make it: skua group create nobody\n"),
    (["group", "create", "g" * 121], FAILURE,
     "skua: @server: consumer group name has 121 characters; at most 120 are allowed\n"
     "  see skua group create --help\n"),
    (["send", "one", "--body", "x", "--tag", "a|b"], FAILURE,
     "skua: dev: ILLEGAL_MESSAGE_TAG: the tag has a '|'\n  see skua send --help\n"),
    (["send", "one", "--body", "x", "--property", "TAGS=v"], FAILURE,
     "skua: dev: ILLEGAL_MESSAGE_PROPERTY_KEY: the property key 'TAGS' is reserved for the system\n"
     "  choose another --property name\n"),
    (["send", "one", "--body", "x", "--property", "k=" + "v" * 17000], FAILURE,
     "skua: dev: MESSAGE_PROPERTIES_TOO_LARGE: user properties, tag and keys have 17001 bytes, the "
     "limit is 16384 (max_properties_size)\n  send large values in the body instead\n"),
    (["send", "one", "--body", "x", "--tag", b"\xff"], USAGE,
     "skua: --tag must be UTF-8, not '\ufffd'\n  see skua send --help\n"),
    (["send", "one", "--file", "@/empty"], USAGE,
     "skua: the body is empty\n  a message needs at least one byte\n"),
    (["send", "one", "--file", "@/4MiB+1"], USAGE,
     "skua: the body has more than 4 MiB, the most that a message may have\n"
     "  send a reference to where it lies instead\n"),
    (["send", "one", "--file", "@/nowhere"], NOT_FOUND,
     "skua: cannot read @/nowhere: No such file or directory\n"
     "  --file FILE names a file to send; --file - reads stdin\n"),
    (["send", "one", "--file", "@"], FAILURE,
     "skua: cannot read @: Is a directory\n  --file FILE names a file to send; --file - reads stdin\n"),
    (["receive", "one", "--group", "g", "--invisible", "1"], FAILURE,
     "skua: dev: ILLEGAL_INVISIBLE_TIME: the invisible duration is 1000 ms; allowed are 10000 to "
     "43200000 ms (min_invisible_duration, max_invisible_duration)\n  see skua receive --help\n"),
    (["receive", "one", "--group", "g", "--filter", "||"], FAILURE,
     "skua: dev: ILLEGAL_FILTER_EXPRESSION: the expression has no tag between its bars\n"
     "  see skua receive --help\n"),
    (["pull", "one", "--queue", "99"], NOT_FOUND,
     "skua: topic one has no queue 99\n  skua route TOPIC shows the queues\n"),
    (["cluster", "--namesrv", "127.0.0.1:1"], UNAVAILABLE,
     "skua: 127.0.0.1:1 cannot be reached: Connection refused\n"
     "  start a broker here: skua dev; or name yours: --namesrv HOST:PORT (now 127.0.0.1:1)\n"),
    (["verify", "@/nowhere"], NOT_FOUND,
     "skua: there is no directory @/nowhere\n  DIR is what --data named when the broker ran\n"),
    (["verify", "@/foreign"], NOT_FOUND,
     "skua: '@/foreign' is not a Skua store\n  DIR is what --data named when the broker ran\n"),
    (["dump", "@/foreign"], NOT_FOUND,
     "skua: '@/foreign' is not a Skua store\n  DIR is what --data named when the broker ran\n"),
    (["verify", "@/dev"], FAILURE,
     "skua: the store in '@/dev' is in use by another process\n  stop the broker first\n"),
    (["dump", "@/dev"], FAILURE,
     "skua: the store in '@/dev' is in use by another process\n  stop the broker first\n"),
    (["dev", "--data", "@/dev", "--listen", "127.0.0.1:0"], FAILURE,
     "skua: open the broker on @/dev: open the store: the store in '@/dev' is in use by another "
     "process\n  another broker runs there: stop it, or give --data DIR\n"),
    (["dev", "--data", "@/foreign", "--listen", "127.0.0.1:0"], FAILURE,
     "skua: open the broker on @/foreign: open the store: '@/foreign' is not empty and is not a Skua "
     "store (it holds 'notes.txt'): give another directory\n"
     "  give --data DIR: a directory of your own, that is empty or was a broker's before\n"),
    (["dev", "--data", "@/empty", "--listen", "127.0.0.1:0"], FAILURE,
     "skua: open the broker on @/empty: open the store: list '@/empty': Not a directory\n"
     "  give --data DIR: a directory of your own, that is empty or was a broker's before\n"),
]


def commands_that_cannot_work(sh, folder, server):
    (folder / "empty").write_bytes(b"")
    (folder / "4MiB+1").write_bytes(b"x" * ((4 << 20) + 1))
    (folder / "foreign").mkdir()
    (folder / "foreign" / "notes.txt").write_text("not a store")
    for words, exit_code, text in COMMANDS:
        words = [w if isinstance(w, bytes) else w.replace("@", str(folder)) for w in words]
        done = subprocess.run([sh.program, *words], capture_output=True, env=sh.env, timeout=60)
        wanted = text.replace("@server", server).replace("@", str(folder))
        got = done.stderr.decode(errors="replace")
        assert (done.returncode, got) == (exit_code, wanted), f"{words}: {done.returncode}\n{got}"
        assert done.stdout == b"", (words, done.stdout)


def any_body_arrives(sh, folder):
    """Every byte, and as many as there may be."""
    sh.run("topic", "create", "bytes", "--queues", 1)
    for body in (bytes(range(256)), b"\0", b"x" * (4 << 20)):
        (folder / "body").write_bytes(body)
        sh.run("send", "bytes", "--file", folder / "body")
        [got] = sh.lines("receive", "bytes", "--group", "bytes", "--count", 1, "--wait", 20)
        text = got["body"].encode() if "body" in got else base64.b64decode(got["body_base64"])
        assert text == body, len(body)


def full_devices_are_told(sh):
    """Output that cannot be written is a failure, not a success."""
    for words in (["topic", "list"], ["send", "one", "--body", "x"], ["--help"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([sh.program, *words], stdout=full, stderr=subprocess.PIPE, env=sh.env,
                                  timeout=60)
        assert done.returncode == FAILURE, (words, done)


def documented_keys(sh, *command):
    """The keys that --help lists, as docs/cli.md does."""
    text = sh.text(*command, "--help").split("With -o json", 1)[1].split("\n\n")[0]
    return set(re.findall(r"^  (\S+)", text, re.M))


def latency_printed_keys_that_no_page_had(sh):
    """All that is printed as JSON is in the help, and the other way round."""
    for command, more, sometimes in (
            ("topic create", "json --queues 1", ""), ("topic list", "", ""), ("topic describe", "json", ""),
            ("group create", "json", ""), ("group list", "", ""),
            ("send", "json --body x --tag t --key k --property a=b", ""),
            ("receive", "json --group json --wait 20", "body_base64"),
            ("group describe", "json", ""), ("pull", "json --queue 0 --count 1", "body_base64"),
            ("route", "json", ""), ("cluster", "", ""), ("version", "", ""),
            ("bench send", "--count 20", "rate server_cpu_us_per_message"),
            ("bench receive", "--count 20", "server_cpu_us_per_message"),
            ("bench latency", "--count 20", "server_cpu_us_per_message"),
            ("group delete", "json --yes", ""), ("topic delete", "json --yes", "")):
        printed = sh.text(*command.split(), *more.split(), "-o", "json")
        try:
            keys = set(json.loads(printed))
        except json.JSONDecodeError:
            keys = set(json.loads(printed.splitlines()[0]))  # JSON Lines
        documented = documented_keys(sh, *command.split())
        assert keys <= documented, (command, keys - documented)
        assert documented - keys <= set(sometimes.split()), (command, documented - keys)


def damage_was_called_a_torn_tail(sh, folder):
    """What is behind the damage was durable, so the next opening cuts nothing: verify may not say so."""
    log = sorted((folder / "dev" / "log").iterdir())[0]
    data = bytearray(log.read_bytes())
    place = data.index(b"orders-of-the-newcomer")
    data[place] ^= 1
    log.write_bytes(data)
    done = sh.run("verify", folder / "dev", "-o", "json", want=FAILURE)
    found = json.loads(done.stdout)
    assert found["ok"] is False and found["errors"] == 1, found
    assert not any("torn" in f["detail"] for f in found["findings"]), found


def main():
    bin_dir = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, Path(folder)) as cluster:
        server = cluster.dev()
        sh = Shell(bin_dir / "skua", server.listen)
        first_messages_came_in_reverse(sh)
        any_body_arrives(sh, Path(folder))
        sh.run("send", "one", "--body", "orders-of-the-newcomer")
        sh.run("send", "one", "--body", "and one behind it", "--count", 10)
        commands_that_cannot_work(sh, Path(folder), server.listen)
        full_devices_are_told(sh)
        latency_printed_keys_that_no_page_had(sh)
        server.stop()
        damage_was_called_a_torn_tail(sh, Path(folder))
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, Path(folder)) as cluster:
        names = cluster.namesrv("ns-1")
        cluster.broker("broker-a")
        sh = Shell(bin_dir / "skua", names.listen)
        wait_until("broker-a is registered", lambda: sh.registered() == ["broker-a"], 20)
        first_messages_came_in_reverse(sh)
    print("nobody stumbles here any more")


if __name__ == "__main__":
    main()
