#!/usr/bin/env python3
"""grpcurl against `skua dev`: lists, describes, checks health, sends and receives with JSON only.

    grpcurl.py BIN_DIR

grpcurl is built from the Go registry, once, into the tests' cache (see fetch_grpcurl).
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from cluster import Cluster  # noqa: E402

VERSION = "v1.9.3"
PACKAGE = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
MESSAGING = "apache.rocketmq.v2.MessagingService"


def cache_folder():
    base = os.environ.get("SKUA_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skua"
    folder = Path(base) / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def go_command():
    """A go that can build grpcurl: tests/clients/install.sh knows how to get one."""
    script = HERE.parent / "clients" / "install.sh"
    go = subprocess.run(["sh", script, "--go"], capture_output=True, text=True)
    return go.stdout.split() if go.returncode == 0 and go.stdout.strip() else ["go"]


def fetch_grpcurl():
    folder = cache_folder() / f"grpcurl-{VERSION}"
    program = folder / "grpcurl"
    if not program.exists():
        subprocess.run([*go_command(), "install", f"{PACKAGE}@{VERSION}"], check=True,
                       env=dict(os.environ, GOBIN=str(folder)))
    return program


class Grpcurl:
    def __init__(self, program, address, *options):
        self.command = [str(program), "-plaintext", "-max-time", "30", *options]
        self.address = address

    def run(self, *words, data=None, fails=False):
        command = [*self.command]
        if data is not None:
            command += ["-d", json.dumps(data)]
        done = subprocess.run([*command, self.address, *words], capture_output=True, text=True)
        if (done.returncode != 0) != fails:
            raise AssertionError(f"grpcurl {words} {data}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def call(self, method, data):
        """All messages of the answer."""
        text, found = self.run(method, data=data), []
        decoder = json.JSONDecoder()
        while text.strip():
            value, end = decoder.raw_decode(text.lstrip())
            found.append(value)
            text = text.lstrip()[end:]
        return found


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")
    print(f"ok: {what}")


def lists_and_describes(grpcurl):
    services = set(grpcurl.run("list").split())
    for service in (MESSAGING, "grpc.health.v1.Health", "skua.v1.BrokerAdmin", "skua.v1.NameServer"):
        expect(f"list has {service}", service in services, True)
    methods = grpcurl.run("list", MESSAGING)
    expect("list of the service has SendMessage", f"{MESSAGING}.SendMessage" in methods, True)
    described = grpcurl.run("describe", f"{MESSAGING}.SendMessage")
    expect("describe names the request", ".apache.rocketmq.v2.SendMessageRequest" in described, True)
    described = grpcurl.run("describe", "apache.rocketmq.v2.SystemProperties")
    expect("describe shows optional fields", "optional string tag = 1;" in described, True)


def checks_health(grpcurl):
    health = "grpc.health.v1.Health/Check"
    expect("health of the server", grpcurl.call(health, {}), [{"status": "SERVING"}])
    expect("health of one service", grpcurl.call(health, {"service": MESSAGING}),
           [{"status": "SERVING"}])
    expect("health of an unknown service",
           "NotFound" in grpcurl.run(health, data={"service": "no.such.Service"}, fails=True), True)


def sends_and_receives(grpcurl):
    body = base64.b64encode(b"sent with JSON only").decode()
    message = {"topic": {"name": "by-json"}, "userProperties": {"colour": "blue"},
               "systemProperties": {"messageId": "json-1", "tag": "t", "keys": ["k"]}, "body": body}
    [sent] = grpcurl.call(f"{MESSAGING}/SendMessage", {"messages": [message]})
    expect("send answers OK", sent["status"], {"code": "OK", "message": "OK"})
    expect("send answers with the id", sent["entries"][0]["messageId"], "json-1")

    got = grpcurl.call(f"{MESSAGING}/ReceiveMessage", {
        "group": {"name": "by-json-group"}, "messageQueue": {"topic": {"name": "by-json"}},
        "filterExpression": {"expression": "*"}, "batchSize": 8, "invisibleDuration": "30s",
        "longPollingTimeout": "5s"})
    expect("receive begins with its status", got[0], {"status": {"code": "OK", "message": "OK"}})
    received = got[1]["message"]
    expect("the body came back", received["body"], body)
    expect("the property came back", received["userProperties"], {"colour": "blue"})
    expect("receive ends with the delivery time", "deliveryTimestamp" in got[2], True)

    handle = received["systemProperties"]["receiptHandle"]
    [acked] = grpcurl.call(f"{MESSAGING}/AckMessage", {
        "group": {"name": "by-json-group"}, "topic": {"name": "by-json"},
        "entries": [{"messageId": "json-1", "receiptHandle": handle}]})
    expect("ack answers OK", acked["status"]["code"], "OK")


def main():
    bin_dir = sys.argv[1]
    program = fetch_grpcurl()
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, folder) as cluster:
        grpcurl = Grpcurl(program, cluster.dev().listen)
        lists_and_describes(grpcurl)
        checks_health(grpcurl)
        sends_and_receives(grpcurl)
    print("grpcurl: all as it should be")


if __name__ == "__main__":
    main()
