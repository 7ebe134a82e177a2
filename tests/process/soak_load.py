"""The load of soak.py: threads that send, receive, acknowledge, hang up and keep account."""
import base64
import random
import socket
import struct
import threading
import time

import api
from bad_requests import ack, name, receive

BATCH, PAUSE_S, MOST_BYTES = 16, 0.16, 4096
LEASE_S = 10
CONNECTION_S = 20
FORGOTTEN = 0.01
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9).replace(bytes(4), b"\0\0\0\4", 1)


class Ledger:
    """Every message from its answered send to its acknowledgement."""

    def __init__(self):
        self.lock = threading.Lock()
        self.open = {}              # id -> attempts seen; not acknowledged
        self.acked = 0
        self.sent = 0
        self.again = 0
        self._gone = set()          # acknowledged ids; their number is small enough to keep

    def note_sent(self, identities):
        with self.lock:
            self.sent += len(identities)
            for identity in identities:
                if identity not in self._gone:
                    self.open.setdefault(identity, 0)

    def note_received(self, identity, attempt):
        """A message may come before its send was answered; never after its acknowledgement was."""
        with self.lock:
            assert identity not in self._gone, f"{identity} was acknowledged and came again"
            seen = self.open.get(identity, 0)
            assert attempt > seen, f"{identity} came with attempt {attempt} after attempt {seen}"
            self.again += attempt > 1
            self.open[identity] = attempt

    def note_acked(self, identities):
        with self.lock:
            for identity in identities:
                del self.open[identity]
                self._gone.add(identity)
            self.acked += len(identities)

    def settled(self):
        with self.lock:
            return not self.open and self.acked == self.sent


class Actor(threading.Thread):
    """A thread that repeats _round() until it is told to stop, and keeps the error that ended it."""

    def __init__(self, address, seed):
        super().__init__()
        self.address, self.chance = address, random.Random(seed)
        self.error, self.rounds = None, 0
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                self._round()
                self.rounds += 1
        except Exception as error:  # noqa: BLE001  for the main thread to tell
            self.error = error

    def stop(self):
        self.over.set()
        self.join()
        self.check()

    def check(self):
        if self.error:
            raise AssertionError(f"{type(self).__name__}: {self.error!r}") from self.error


def body_of(identity):
    """A body that shows when it is another message's, or cut."""
    chance = random.Random(identity)
    return identity.encode() * chance.randrange(1, MOST_BYTES // len(identity))


class Sender(Actor):
    def __init__(self, address, topic, ledger):
        super().__init__(address, 1)
        self.topic, self.ledger = topic, ledger

    def _round(self):
        """The life of one connection."""
        with api.Client(self.address, client_id=f"sender-{self.rounds}") as client:
            end = time.monotonic() + CONNECTION_S
            number = 0
            while not self.over.wait(PAUSE_S) and time.monotonic() < end:
                self._send(client, [f"m-{self.rounds}-{number + k}" for k in range(BATCH)])
                number += BATCH

    def _send(self, client, identities):
        messages = [{"topic": name(self.topic), "body": base64.b64encode(body_of(i)).decode(),
                     "systemProperties": {"messageId": i}} for i in identities]
        [answer] = client.unary("SendMessage", {"messages": messages})
        assert api.code_name(answer.status.code) == "OK", answer.status
        assert all(api.code_name(e.status.code) == "OK" for e in answer.entries), answer
        self.ledger.note_sent(identities)


class Receiver(Actor):
    """Acknowledges all that it gets, but for one in a hundred the first time: that comes again."""

    def __init__(self, address, topic, group, ledger, number):
        super().__init__(address, number)
        self.topic, self.group, self.ledger, self.number = topic, group, ledger, number

    def _round(self):
        with api.Client(self.address, client_id=f"receiver-{self.number}-{self.rounds}") as client:
            end = time.monotonic() + CONNECTION_S
            while not self.over.is_set() and time.monotonic() < end:
                self._receive(client)

    def _receive(self, client):
        got = client.unary("ReceiveMessage", receive(
            group=name(self.group), messageQueue={"topic": name(self.topic)}, batchSize=32,
            invisibleDuration=f"{LEASE_S}s", longPollingTimeout="2s"))
        messages = [m.message for m in got if m.WhichOneof("content") == "message"]
        wanted = []
        for message in messages:
            system = message.system_properties
            assert message.body == body_of(system.message_id), f"{system.message_id}: another body"
            self.ledger.note_received(system.message_id, system.delivery_attempt)
            if system.delivery_attempt > 1 or self.chance.random() >= FORGOTTEN:
                wanted.append((system.message_id, system.receipt_handle))
        if wanted:
            self._acknowledge(client, wanted)

    def _acknowledge(self, client, wanted):
        entries = [{"messageId": i, "receiptHandle": handle} for i, handle in wanted]
        [answer] = client.unary("AckMessage", ack(
            group=name(self.group), topic=name(self.topic), entries=entries))
        assert api.code_name(answer.status.code) == "OK", answer
        assert all(api.code_name(e.status.code) == "OK" for e in answer.entries), answer
        self.ledger.note_acked([i for i, _ in wanted])


class Quitter(Actor):
    """Begins long polls where nothing will come and calls them off; leaves connections with a
    poll under way; drops others in the middle of HTTP/2's greeting."""

    def __init__(self, address, topic, group):
        super().__init__(address, 7)
        self.topic, self.group = topic, group

    def _round(self):
        with api.Client(self.address, client_id=f"quitter-{self.rounds}") as client:
            polls = [client.begin("ReceiveMessage", receive(
                group=name(self.group), messageQueue={"topic": name(self.topic)},
                longPollingTimeout="15s")) for _ in range(4)]
            self.over.wait(self.chance.uniform(0.1, 0.5))
            for poll in polls[:2]:
                poll.cancel()
        self._hang_up()
        self.over.wait(0.2)

    def _hang_up(self):
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(HTTP2_HELLO[:self.chance.randrange(len(HTTP2_HELLO) + 1)])
            at_once = struct.pack("ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)  # a reset, no goodbye
