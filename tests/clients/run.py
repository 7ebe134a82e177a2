#!/usr/bin/env python3
"""Official RocketMQ 5 clients against Skua.

    run.py SCENARIO --bin build/dev/bin [--languages go,java] [--count 1000] [--keep]

  dev      `skua dev`; everything is sent, then read by simple and by push consumers
  cluster  2 name servers and 2 brokers, name servers as access point; read while it is sent
  restart  the same, and every server is restarted in mid-run: one of each kind stopped, one killed
  outage   all name servers killed and back, then one broker of two killed
  apache   as dev, against Apache RocketMQ itself (from Maven): are the programs right?
  peer     as dev, against a server that runs already: --access, --access-tls, --topic; the topic
           must exist there, and the groups group-LANGUAGE-MODE

In each, every language sends and every language reads what all have sent.
"""
import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from apache.apache import Apache
from clients import FAILOVER, LANGUAGES, NO_FAILOVER, Clients
from cluster import Cluster, wait_until
from verify import Report

READ_S = 150
LEASE_S = 15  # What the programs ask for.
MODES = ("receive", "push")
TOPIC = "official"


def group(language, mode):
    return f"group-{language}-{mode}"


class Exchange:
    """Senders and readers of all languages on one topic."""

    def __init__(self, clients, count, topic=TOPIC):
        self.clients, self.count, self.topic = clients, count, topic
        self.report = Report()
        self.senders, self.readers, self.checks = [], [], []

    def send(self, rate=0):
        self.senders += [self.clients.start(language, "send", self.topic, prefix=language,
                                            count=self.count, rate=rate)
                         for language in self.clients.languages]

    def read(self, *modes):
        expect = self.count * len(self.clients.languages)
        self.readers += [self.clients.start(language, mode, self.topic, group=group(language, mode),
                                            expect=expect, timeout=READ_S)
                         for mode in modes for language in self.clients.languages]

    def finish_senders(self, languages=LANGUAGES, retries_allowed=False):
        """Ends the senders in these languages. Is an error allowed to have reached the caller?"""
        for run in self.senders:
            if run.language in languages:
                self.report.sender(run, run.wait(READ_S), retries_allowed)
                if run.printed() < self.count:
                    raise RuntimeError("nothing to read")

    def finish_readers(self, duplicates_allowed=False):
        """Ends the readers started so far."""
        for run in self.readers:
            self.report.reader(run, run.wait(READ_S + 30), self.clients.languages, self.count,
                               duplicates_allowed)
        self.readers = []

    def check_leftovers(self, mode, quiet_s):
        """Starts a poll of each group that has acknowledged everything."""
        checker = "go" if "go" in self.clients.languages else self.clients.languages[0]
        self.checks += [self.clients.start(checker, "receive", self.topic, expect=0, quiet=quiet_s,
                                           group=group(language, mode))
                        for language in self.clients.languages]

    def finish_checks(self):
        for run in self.checks:
            run.wait(READ_S)
            self.report.leftover(run)

    def sent(self):
        """What the slowest sender has sent; an error if one gave up."""
        for run in self.senders:
            if run.process.poll() not in (None, 0):
                raise RuntimeError(f"{run} ended with {run.process.returncode}")
        return min(run.printed() for run in self.senders)

    def wait_sent(self, share):
        """Until every sender has sent this share of its messages."""
        wait_until(f"{share:.0%} sent", lambda: self.sent() >= share * self.count, READ_S)

    def wait_reading(self):
        wait_until("every reader has a message", lambda: all(r.printed() for r in self.readers), 60)


def send_then_read(exchange):
    exchange.send()
    exchange.finish_senders()
    exchange.read("receive")
    exchange.finish_readers()
    exchange.check_leftovers("receive", LEASE_S + 3)
    exchange.read("push")
    exchange.finish_readers()
    exchange.check_leftovers("push", 5)
    exchange.finish_checks()


def read_while_sending(exchange):
    exchange.read(*MODES)
    exchange.send()
    exchange.finish_senders()
    exchange.finish_readers()
    exchange.check_leftovers("receive", LEASE_S + 3)
    exchange.check_leftovers("push", 5)
    exchange.finish_checks()


def administer(cluster, languages, brokers):
    cluster.skua("topic", "create", TOPIC, "--queues", "4")
    for language in languages:
        for mode in MODES:
            cluster.skua("group", "create", group(language, mode))
    wait_routed(cluster, brokers, 10)


def wait_routed(cluster, brokers, timeout_s):
    """Until each name server knows every broker of the topic."""
    def routed(namesrv):
        try:
            route = cluster.skua("route", TOPIC, namesrv=namesrv)
        except RuntimeError:
            return False
        return all(broker.name in route for broker in brokers)
    wait_until("brokers are routed", lambda: all(map(routed, cluster.namesrvs)), timeout_s,
               interval_s=0.2)


def start_cluster(cluster, *broker_options):
    for name in ("ns-1", "ns-2"):
        cluster.namesrv(name)
    return [cluster.broker(name, *broker_options) for name in ("broker-a", "broker-b")]


def dev(args, cluster):
    cluster.dev()
    with_exchange(args, cluster, [], send_then_read)


def cluster_of_four(args, cluster):
    with_exchange(args, cluster, start_cluster(cluster), read_while_sending)


def restart(args, cluster):
    brokers = start_cluster(cluster)
    stopped, killed = zip(cluster.namesrvs, brokers)

    def play(exchange):
        exchange.read(*MODES)
        exchange.send(rate=args.count / 30)
        exchange.wait_reading()
        for k, server in enumerate((*stopped, *killed)):
            exchange.wait_sent(0.1 + 0.2 * k)
            server.stop() if server in stopped else server.kill()
            note(f"{server.name} {'stopped' if server in stopped else 'killed'}")
            server.start()
        exchange.finish_senders(retries_allowed=True)
        exchange.finish_readers(duplicates_allowed=True)

    with_exchange(args, cluster, brokers, play)


def outage(args, cluster):
    heartbeat_s = 5
    brokers = start_cluster(cluster, "--set", f"heartbeat_interval={heartbeat_s}s")

    def play(exchange):
        exchange.read(*MODES)
        exchange.send(rate=args.count / 40)
        exchange.wait_reading()
        exchange.wait_sent(0.1)
        for server in cluster.namesrvs:
            server.kill()
        note("name servers killed")
        exchange.wait_sent(0.5)  # Running clients and brokers do not notice.
        begin = time.monotonic()
        for server in cluster.namesrvs:
            server.start()
        wait_routed(cluster, brokers, heartbeat_s + 1)
        note(f"name servers know all brokers {time.monotonic() - begin:.1f} s after their start")
        exchange.wait_sent(0.7)
        brokers[1].kill()
        note(f"{brokers[1].name} killed")
        exchange.finish_senders(languages=FAILOVER)
        brokers[1].start()  # It holds messages that were acknowledged and not yet read.
        exchange.finish_senders(languages=NO_FAILOVER, retries_allowed=True)
        exchange.finish_readers(duplicates_allowed=True)

    with_exchange(args, cluster, brokers, play)


def with_exchange(args, cluster, brokers, play):
    administer(cluster, args.languages, brokers)
    run_exchange(args, play, cluster.access(), cluster.access("listen-tls"), TOPIC)


def apache(args, _cluster):
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    jars = Path(os.environ.get("SKUA_CACHE", Path(cache) / "skua")) / "apache-rocketmq"
    with Apache(jars, args.folder) as server:
        server.administer(TOPIC, 4, [group(l, mode) for l in args.languages for mode in MODES])
        run_exchange(args, send_then_read, server.access, server.access, TOPIC)


def peer(args, _cluster):
    run_exchange(args, send_then_read, args.access, args.access_tls or args.access, args.topic)


def run_exchange(args, play, access, access_tls, topic):
    clients = Clients(args.folder, access, access_tls, args.languages)
    exchange = Exchange(clients, args.count, topic)
    begin = time.monotonic()
    try:
        play(exchange)
    except Exception as error:
        exchange.report.complaints.append(str(error))
    finally:
        clients.close()
    exchange.report.print(f"{args.scenario}: {time.monotonic() - begin:.0f} s")
    if exchange.report.complaints:
        clients.print_logs()
        raise SystemExit(1)


def note(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


SCENARIOS = {"dev": dev, "cluster": cluster_of_four, "restart": restart, "outage": outage,
             "apache": apache, "peer": peer}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--bin", default="build/dev/bin", help="folder of Skua's programs")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--count", type=int, default=1000, help="messages of each language")
    parser.add_argument("--keep", action="store_true", help="keep the logs also when all is well")
    parser.add_argument("--access", help="peer: HOST:PORT for plaintext")
    parser.add_argument("--access-tls", help="peer: HOST:PORT for TLS, if another")
    parser.add_argument("--topic", default=TOPIC, help="peer: the topic to use")
    args = parser.parse_args()
    args.languages = args.languages.split(",")
    args.folder = Path(tempfile.mkdtemp(prefix=f"skua-clients-{args.scenario}-"))
    return args


def main():
    args = arguments()
    kept = True
    try:
        with Cluster(args.bin, args.folder) as cluster:
            SCENARIOS[args.scenario](args, cluster)
        kept = args.keep
    finally:
        if kept:
            print(f"logs and data: {args.folder}", file=sys.stderr)
        else:
            shutil.rmtree(args.folder)


if __name__ == "__main__":
    main()
