#!/usr/bin/env python3
"""Bad requests of every kind, for every method, on a broker and on a name server: the exact code
and text of each answer (the table is in bad_requests.py and bad_services.py), while a well-behaved client sends and
receives on the same servers and must not notice.

    bad_input.py BIN_DIR [--show WORD]      (--show: print what the rows with WORD are answered)
"""
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import api  # noqa: E402  (restarts us in a Python with grpcio)
import grpc  # noqa: E402
import bad_requests as table  # noqa: E402
from bad_services import BROKER, NAME_SERVER  # noqa: E402
from cluster import Cluster  # noqa: E402
from steady import Steady  # noqa: E402


NOT_IMPLEMENTED = 50100


def take_one(client, topic="orders"):
    """A message of our own, and the handle under which it is leased to `billing`."""
    [sent] = client.unary("SendMessage", table.send(topic=topic))
    assert api.code_name(sent.status.code) == "OK", sent
    got = client.unary("ReceiveMessage", table.receive(messageQueue={"topic": table.name(topic)}))
    return got[1].message.system_properties.receipt_handle


def handles(client, other_broker):
    """Receipt handles of every bad kind."""
    used, live = take_one(client), take_one(client)
    [acked] = client.unary("AckMessage", table.ack(used))
    assert api.code_name(acked.status.code) == "OK", acked
    old = take_one(client)
    [changed] = client.unary("ChangeInvisibleDuration", table.change(old))
    assert api.code_name(changed.status.code) == "OK", changed
    letter = "A" if live[20] != "A" else "B"
    return {"@used": used, "@live": live, "@old": old, "@foreign": take_one(other_broker),
            "@elsewhere": take_one(client, "other"), "@altered": live[:20] + letter + live[21:],
            "@cut": live[:-4]}


def fill_in(request, words):
    if isinstance(request, bytes):
        return request
    text = json.dumps(request)
    for word, value in words.items():
        text = text.replace(f'"{word}"', json.dumps(value))
    return json.loads(text)


def ask(client, method, request, metadata):
    """(status, text) of the answer."""
    answers, end = [], None
    try:
        if api.method_of(method).client_streaming:
            requests = request if isinstance(request, list) else [request]
            for answer in client.stream(method, requests, metadata):
                answers.append(answer)
        else:
            answers = client.unary(method, request, metadata)
    except grpc.RpcError as error:
        end = f"grpc:{error.code().name}", error.details()
    if not answers or "status" not in answers[0].DESCRIPTOR.fields_by_name:
        return end or ("grpc:OK", "")
    agree(method, request, answers)
    status = api.code_name(answers[0].status.code), answers[0].status.message
    return (f"{status[0]}, then {end[0]}", end[1] if end[1] == status[1] else f"{status[1]}, {end[1]}") \
        if end else status


def agree(method, request, answers):
    """What clients rely on, whatever the error: protocol.md 3.4 to 3.7."""
    first = answers[0]
    refused = api.code_name(first.status.code) != "OK"
    if method == "ReceiveMessage" and refused and first.status.code != NOT_IMPLEMENTED:
        kinds = [m.WhichOneof("content") for m in answers]
        wanted = ["status"] + ["delivery_timestamp"] * (first.status.code != 40017)
        assert kinds == wanted, kinds
    if method == "ChangeInvisibleDuration" and refused and isinstance(request, dict):
        asked = request.get("receiptHandle", "")
        assert api.NOT_UTF8 in asked or first.receipt_handle == asked, first
    if method in ("SendMessage", "AckMessage") and isinstance(request, dict):
        asked = request.get("messages", request.get("entries", []))
        assert len(first.entries) == min(len(asked), len(first.entries) if refused else len(asked))
        for entry in first.entries:
            assert entry.status.code, entry


def run_rows(rows, client, server, words, show):
    failed = 0
    for method, what, request, status, text, *metadata in rows:
        if show is not None and show not in what and show not in method:
            continue
        begin = time.monotonic()
        request = ([fill_in(r, words) for r in request] if isinstance(request, list)
                   else fill_in(request, words))
        got = ask(client, method, request, metadata[0] if metadata else None)
        assert server.alive, f"{method}: {what}: killed the server"
        if show is not None:
            print(f"{method}: {what}\n    {got[0]}: {got[1]}  ({time.monotonic() - begin:.2f} s)")
        elif got != (status, text):
            failed += 1
            print(f"FAILED {method}: {what}\n    wanted {status}: {text}\n    got    {got[0]}: {got[1]}")
    return failed


def prepare(cluster):
    for broker in ("broker-a", "broker-b"):
        for topic in ("orders", "other", "steady"):
            cluster.skua("topic", "create", topic, "--queues", "2", "--broker", broker)
    for topic, kind in (("fifo", "fifo"), ("delay", "delay"), ("mixed", "mixed")):
        cluster.skua("topic", "create", topic, "--queues", "2", "--type", kind, "--broker", "broker-a")
    for group in ("billing", "others", "steady"):
        cluster.skua("group", "create", group)


def main():
    show = sys.argv[3] if sys.argv[2:3] == ["--show"] else None
    with tempfile.TemporaryDirectory() as folder, Cluster(sys.argv[1], folder) as cluster:
        names = cluster.namesrv("ns-1")
        settings = ["--set", "min_invisible_duration=1s", "--set", "min_long_polling=0ms"]
        broker = cluster.broker("broker-a", *settings)
        other = cluster.broker("broker-b", *settings)
        prepare(cluster)
        steady = Steady(broker.listen)
        steady.start()
        failed = 0
        with api.Client(broker.listen) as client, api.Client(other.listen) as client_b, \
                api.Client(names.listen) as name_client:
            words = handles(client, client_b)
            failed += run_rows(BROKER, client, broker, words, show)
            failed += run_rows(NAME_SERVER, name_client, names, words, show)
            assert client.is_serving() and name_client.is_serving()
        steady.stop()
        for server in cluster.servers:
            server.stop()  # the sanitizers speak now, and the exit status with them
            assert "ERROR: " not in server.log.read_text(errors="replace"), server.log.read_text()
    print(f"{len(BROKER) + len(NAME_SERVER)} bad requests, {failed} answered otherwise; "
          f"the good client did {steady.rounds} rounds, the slowest in {steady.slowest_s:.2f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
