#!/usr/bin/env python3
"""Every kind of damage to a broker's directory, as an operator meets it.

    rot.py BIN_DIR

For each row of damages(): `skua verify` ends with 1 and names the file, or with 0 because nothing is
lost; then skua-broker either refuses to start, naming the file, with all files as they were, or
starts and serves every message as it was sent, but those that the damage lies in. (Each block and
bit of a smaller store: tests/libstore/test_rot.c and test_rot_matrix.c.)
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import api  # noqa: E402
from bad_requests import message, name, pull, send  # noqa: E402
from cluster import Cluster  # noqa: E402

TOPIC, BODY, MESSAGES, HEADER, SEGMENT = "orders", 40_000, 70, 4096, 1 << 20


# --- a store, stopped in order and killed -----------------------------------------------------------

def broker_of(cluster, folder):
    return cluster.broker("broker", "--data", folder, "--segment-size", "1MiB",
                          "--snapshot-distance", "1MiB")


def send_some(client, first, count):
    for k in range(first, first + count):
        [answer] = client.unary("SendMessage", send(
            message(topic=TOPIC, size=BODY, messageId=f"id-{k}")))
        assert api.code_name(answer.status.code) == "OK", answer


def make_stores(bin_dir, folder):
    """Folders "early", "stopped", "killed", of one life, and "other", of another store."""
    for which in ("life", "other"):
        with Cluster(bin_dir, folder) as cluster:
            data = folder / which
            server = broker_of(cluster, data)
            with api.Client(server.listen) as client:
                client.unary("skua.v1.BrokerAdmin/CreateTopic",
                             {"topic": {"name": TOPIC, "read_queues": 1, "write_queues": 1}})
                client.unary("skua.v1.BrokerAdmin/CreateGroup", {"group": {"name": "billing"}})
                send_some(client, 0, MESSAGES // 2)
                if which == "life":
                    server.stop()
                    shutil.copytree(data, folder / "early")
                    server.start()
                    with api.Client(server.listen) as again:
                        send_some(again, MESSAGES // 2, MESSAGES - MESSAGES // 2)
                        server.kill()
                        shutil.copytree(data, folder / "killed")
                        server.start()
                server.stop()
    (folder / "life").rename(folder / "stopped")


def served(address):
    """The ids that can be read, by offset."""
    found, offset = {}, 0
    with api.Client(address) as client:
        while offset < MESSAGES:
            responses = client.unary("PullMessage", pull(topic=TOPIC, offset=offset, batchSize=32))
            for r in responses:
                if r.WhichOneof("content") == "message":
                    p = r.message.system_properties
                    assert len(r.message.body) == BODY
                    found[p.queue_offset] = p.message_id
            [further] = [r.next_offset for r in responses
                         if r.WhichOneof("content") == "next_offset"]
            assert further > offset, responses
            offset = further
    return found


# --- damage -----------------------------------------------------------------------------------------

def files(data, suffix):
    return sorted(data.rglob(f"*.{suffix}"))


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(raw)


def fill(path, at, byte, count=512):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([byte]) * count)


def copy_block(path, source, target, count=4096):
    raw = bytearray(path.read_bytes())
    raw[target:target + count] = raw[source:source + count]
    path.write_bytes(raw)


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def swap(one, two):
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)


def take(data, other, relative):
    shutil.copy(data.parent / other / relative, data / relative)


def first_log(data):
    return files(data, "log")[0]


def last_used(data):
    """The segment in which the last message lies: those behind it hold only zeros."""
    return [log for log in files(data, "log") if any(log.read_bytes()[HEADER:HEADER + 64])][-1]


def a_record_in(data, log):
    """Where a message's body lies, well inside."""
    return log.read_bytes().index(b"x" * 1000, SEGMENT // 4) + 5000


def the_last_record_in(log):
    """Behind every snapshot."""
    return log.read_bytes().rindex(b"x" * 1000) - 3000


def damages():
    """(what, which store, how, verify must say or None, start refuses with or None: serves,
    most messages that may be lost)"""
    log = r"\d{20}\.log"
    return [
        ("nothing", "stopped", lambda d: None, None, None, 0),
        ("nothing", "killed", lambda d: None, None, None, 0),
        ("identity: a bit", "stopped", lambda d: flip(d / "store", 17), r"/store", r"/store", 0),
        ("identity: gone", "stopped", lambda d: (d / "store").unlink(), r"/store", r"/store' is missing", 0),
        ("identity: another's", "stopped", lambda d: take(d, "other", "store"), "another store", "another store", 0),
        ("identity and log: gone", "stopped",
         lambda d: [(d / "store").unlink(), shutil.rmtree(d / "log")], "not a Skua store", r"/store' is missing", 0),
        ("watermark: gone", "killed", lambda d: (d / "watermark").unlink(), None, None, 0),
        ("watermark: both slots", "killed",
         lambda d: [flip(d / "watermark", 20), flip(d / "watermark", 4116)], r"watermark", None, 0),
        ("watermark: another's", "killed", lambda d: take(d, "other", "watermark"), "watermark", None, 0),
        ("watermark: an early one", "killed", lambda d: take(d, "early", "watermark"), None, None, 0),
        ("log: a header's bit", "stopped", lambda d: flip(first_log(d), 30), log, log, 0),
        ("log: a bit that a snapshot covers", "stopped",
         lambda d: flip(first_log(d), a_record_in(d, first_log(d))), log + r".*byte \d+", None, 1),
        ("log: a bit behind the snapshot", "killed",
         lambda d: flip(last_used(d), the_last_record_in(last_used(d))), log + r".*byte \d+",
         log + r"' byte \d+.*were durable; nothing was changed", 0),
        ("log: a block of zeros", "stopped",
         lambda d: fill(first_log(d), a_record_in(d, first_log(d)), 0), log + r".*byte \d+", None, 1),
        ("log: a block of ones", "killed",
         lambda d: fill(last_used(d), the_last_record_in(last_used(d)), 0xff), log + r".*byte \d+", log, 0),
        ("log: a block elsewhere", "stopped",
         lambda d: copy_block(first_log(d), HEADER, SEGMENT // 2), log + r".*byte \d+", None, 2),
        ("log: cut short", "stopped", lambda d: cut(first_log(d), SEGMENT // 2), log, log, 0),
        ("log: empty", "stopped", lambda d: cut(first_log(d), 0), log, log, 0),
        ("log: one between is gone", "stopped", lambda d: files(d, "log")[1].unlink(), log, log + "' is missing", 0),
        ("log: the last is gone", "stopped",
         lambda d: [f.unlink() for f in files(d, "log") if f >= last_used(d)], log, log + "' is missing", 0),
        ("log: all gone", "stopped", lambda d: [f.unlink() for f in files(d, "log")], "log", "log", 0),
        ("log: two swapped", "stopped", lambda d: swap(*files(d, "log")[:2]), log, log, 0),
        ("log: another's", "stopped", lambda d: take(d, "other", first_log(d).relative_to(d)), "another store",
         "another store", 0),
        ("log: an early one", "killed",
         lambda d: take(d, "early", files(d / ".." / "early", "log")[0].relative_to(d / ".." / "early")),
         None, None, 0),
        ("index: a bit", "stopped", lambda d: flip(files(d, "idx")[0], HEADER + 3), r"\.idx", None, 0),
        ("index: a header's bit", "stopped", lambda d: flip(files(d, "idx")[0], 30), "index", None, 0),
        ("index: gone", "stopped", lambda d: shutil.rmtree(d / "index"), "index", None, 0),
        ("index: another's", "stopped", lambda d: take(d, "other", files(d, "idx")[0].relative_to(d)), "index",
         None, 0),
        ("snapshot: a bit", "stopped", lambda d: flip(files(d, "snap")[-1], HEADER + 9), r"\.snap", None, 0),
        ("snapshot: cut short", "stopped", lambda d: cut(files(d, "snap")[-1], 5000), r"\.snap", None, 0),
        ("snapshot: the newest is gone", "stopped", lambda d: files(d, "snap")[-1].unlink(), None, None, 0),
        ("snapshot: all gone", "stopped", lambda d: shutil.rmtree(d / "snapshot"), "/snapshot", None, 0),
        ("snapshot: two swapped", "stopped", lambda d: swap(*files(d, "snap")[-2:]), r"\.snap", None, 0),
        ("snapshot: early ones", "stopped",
         lambda d: [shutil.copy(f, d / "snapshot") for f in files(d / ".." / "early", "snap")], None, None, 0),
    ]


# --- asking ------------------------------------------------------------------------------------------

def content_of(data):
    return {str(p.relative_to(data)): p.read_bytes() for p in data.rglob("*")
            if p.is_file() and p.name not in ("lock", "watermark")}


def verify(bin_dir, data):
    done = subprocess.run([Path(bin_dir) / "skua", "verify", data], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout + done.stderr


def try_start(bin_dir, folder, data, twice=False):
    """What is served, or the text of the refusal; `twice`: a second process on it is refused."""
    with Cluster(bin_dir, folder) as cluster:
        try:
            server = broker_of(cluster, data)
        except RuntimeError as refusal:
            return None, str(refusal).split("---")[-1]
        found = served(server.listen)
        if not twice:
            return found, ""
        second = subprocess.run(server.command, capture_output=True, text=True, timeout=60)
        assert second.returncode != 0 and "in use by another process" in second.stderr + second.stdout, \
            second
        code, text = verify(bin_dir, data)
        assert code != 0 and "in use" in text, text
        return found, ""


def check(bin_dir, folder, row):
    what, store, damage, must_say, refusal, may_lose = row
    data = folder / "data"
    shutil.copytree(folder / store, data)
    damage(data)
    before = content_of(data)
    code, said = verify(bin_dir, data)
    if must_say:
        assert re.search(must_say, said, re.S), f"{what}: verify ended with {code}: {said}"
    else:
        assert code == 0, f"{what}: {said}"
    assert content_of(data) == before, f"{what}: verify changed something"
    found, text = try_start(bin_dir, folder, data, what == "nothing")
    if refusal:
        assert found is None, f"{what}: started"
        assert re.search(refusal, text, re.S), f"{what}: {text}"
        assert content_of(data) == before, f"{what}: refused, but something was changed"
        assert code != 0, f"{what}: refused, but verify is content"
    else:
        assert found is not None, f"{what}: {text}"
        wrong = [k for k, identity in found.items() if identity != f"id-{k}"]
        assert not wrong, f"{what}: other messages at {wrong}"
        lost = set(range(MESSAGES)) - set(found)
        assert len(lost) <= may_lose, f"{what}: lost {lost}"
        assert not lost or code != 0, f"{what}: lost {lost}, and verify is content"
    outcome = "refused" if refusal else f"{len(found)} of {MESSAGES} served"
    print(f"{what} ({store}): verify ends with {code}; {outcome}", flush=True)


def try_row(bin_dir, folder, row):
    """What was wrong with it; the other rows are tried all the same."""
    try:
        check(bin_dir, folder, row)
    except AssertionError as wrong:
        return str(wrong)
    finally:
        shutil.rmtree(folder / "data", ignore_errors=True)


def strange_directory(bin_dir, folder):
    """A directory of somebody's files is no place for a store."""
    data = folder / "data"
    data.mkdir()
    (data / "thesis.tex").write_text("years of work")
    found, text = try_start(bin_dir, folder, data)
    assert found is None and "not a Skua store" in text and "thesis.tex" in text, text
    assert [p.name for p in data.iterdir()] == ["thesis.tex"]
    code, said = verify(bin_dir, data)
    assert code != 0 and "not a Skua store" in said, said
    print("a strange directory: refused")


def main():
    bin_dir = sys.argv[1]
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        make_stores(bin_dir, folder)
        rows = damages()
        wrong = [text for text in (try_row(bin_dir, folder, row) for row in rows) if text]
        strange_directory(bin_dir, folder)
    assert not wrong, "\n".join(wrong)
    print(f"{len(rows) + 1} kinds of damage: each named, or without effect")


if __name__ == "__main__":
    main()
