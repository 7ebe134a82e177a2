"""Official Python client (rocketmq-python-client): send, receive (simple) and push. See ../README.md."""
import argparse
import json
import os
import sys
import threading
import time

import spec
from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression, Message,
                      MessageListener, Producer, PushConsumer, SimpleConsumer)

RECEIVERS = 4
AWAIT_S = 5
INVISIBLE_S = 15
SEND_RETRY_S = 60
printing = threading.Lock()


def emit(**line):
    with printing:
        print(json.dumps(line), flush=True)


def note(text):
    line = " ".join(text.split())[:300]  # gRPC's errors have many lines.
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} python: {line}", file=sys.stderr, flush=True)


def retry(what, action, give_up_s):
    """Runs action until it succeeds; (result, tries). Raises the last error after give_up_s."""
    tries, end = 1, time.monotonic() + give_up_s
    while True:
        try:
            return action(), tries
        except Exception as error:
            note(f"{what} failed, try {tries}: {error!r}")
            if time.monotonic() > end:
                raise
            tries += 1
            time.sleep(0.5)


def started(make, give_up_s):
    """A client that failed to start cannot be started again: each try makes a new one."""
    def start():
        client = make()
        client.startup()
        return client
    return retry("startup", start, give_up_s)[0]


def send(args, config):
    producer = started(lambda: Producer(config, [args.topic], tls_enable=args.tls), SEND_RETRY_S)
    begin = time.monotonic()
    for i in range(args.count):
        if args.rate:
            time.sleep(max(0.0, begin + i / args.rate - time.monotonic()))
        message = Message()
        message.topic, message.tag, message.body = args.topic, spec.tag(i), spec.body(args.prefix, i)
        for key in spec.keys(args.prefix, i):
            message.keys = key
        for key, value in spec.properties(args.prefix, i).items():
            message.add_property(key, value)
        clock = time.monotonic()
        receipt, tries = retry(f"send {i}", lambda: producer.send(message), SEND_RETRY_S)
        emit(i=i, id=receipt.message_id, ms=round(1e3 * (time.monotonic() - clock), 3), tries=tries)
    note(f"sent {args.count} in {time.monotonic() - begin:.1f} s")
    return True, producer.shutdown


class Tally:
    """Checks and prints every delivery, and knows when the expected ones were seen."""

    def __init__(self, args):
        self.expect, self.quiet = args.expect, args.quiet
        self.seen, self.lock = set(), threading.Lock()
        self.last = time.monotonic()
        self.end = self.last + args.timeout

    def delivered(self, message):
        properties = message.properties
        prefix, i = properties.get("prefix", ""), int(properties.get("index", -1))
        wrong = [name for name, same in (
            ("tag", message.tag == spec.tag(i)),
            ("keys", set(message.keys) == spec.keys(prefix, i)),
            ("properties", dict(properties) == spec.properties(prefix, i)),
            ("body", bytes(message.body) == spec.body(prefix, i)),
            ("digest", not message.corrupted)) if not same]
        emit(i=i, prefix=prefix, id=message.message_id, attempt=message.delivery_attempt,
             ok=not wrong, wrong=wrong)
        with self.lock:
            self.seen.add((prefix, i))
            self.last = time.monotonic()

    def complete(self):
        return len(self.seen) >= self.expect

    def over(self):
        now = time.monotonic()
        return now > self.end or (self.complete() and now > self.last + self.quiet)

    def wait(self):
        while not self.over():
            time.sleep(0.05)
        note(f"saw {len(self.seen)} of {self.expect}")
        return self.complete()


def receive(args, config):
    tally = Tally(args)
    consumer = started(lambda: SimpleConsumer(config, args.group, {args.topic: FilterExpression()},
                                              AWAIT_S, tls_enable=args.tls), args.timeout)

    def loop():
        while not tally.over():
            try:
                for message in consumer.receive(32, INVISIBLE_S) or []:
                    tally.delivered(message)
                    consumer.ack(message)
            except Exception as error:
                note(f"receive: {error!r}")
                time.sleep(0.5)

    for _ in range(RECEIVERS):
        threading.Thread(target=loop, daemon=True).start()
    return tally.wait(), consumer.shutdown


def push(args, config):
    tally = Tally(args)

    class Listener(MessageListener):
        def consume(self, message):
            tally.delivered(message)
            return ConsumeResult.SUCCESS

    consumer = started(lambda: PushConsumer(config, args.group, Listener(),
                                            {args.topic: FilterExpression()}, tls_enable=args.tls),
                       args.timeout)
    return tally.wait(), consumer.shutdown


def leave(complete, shutdown):
    """Says good-bye to the server, but does not wait for its long polls to end."""
    farewell = threading.Thread(target=shutdown, daemon=True)
    farewell.start()
    farewell.join(3)
    sys.stdout.flush()
    os._exit(0 if complete else 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["send", "receive", "push"])
    for name, kind, default in (("endpoint", str, None), ("topic", str, None), ("group", str, ""),
                                ("prefix", str, ""), ("count", int, 0), ("rate", float, 0),
                                ("expect", int, 0), ("timeout", float, 60), ("quiet", float, 2)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    config = ClientConfiguration(args.endpoint, Credentials())
    leave(*{"send": send, "receive": receive, "push": push}[args.mode](args, config))


if __name__ == "__main__":
    main()
