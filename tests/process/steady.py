"""The well-behaved client that bad ones must not disturb."""
import threading
import time

import api
from bad_requests import ack, message, name, receive


class Steady(threading.Thread):
    """Sends, receives and acknowledges, one message after the other, and counts."""

    def __init__(self, address):
        super().__init__()
        self.address, self.rounds, self.error = address, 0, None
        self.slowest_s = 0.0
        self._end = threading.Event()

    def run(self):
        try:
            with api.Client(self.address, client_id="steady") as client:
                while not self._end.is_set():
                    begin = time.monotonic()
                    self._round(client, f"steady-{self.rounds}")
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                    self.rounds += 1
                    self._end.wait(0.02)
        except Exception as error:  # noqa: BLE001  for the main thread to tell
            self.error = error

    def _round(self, client, message_id):
        sent_message = message("steady", messageId=message_id)
        [sent] = client.unary("SendMessage", {"messages": [sent_message]})
        assert api.code_name(sent.status.code) == "OK", sent
        got = client.unary("ReceiveMessage", receive(
            group=name("steady"), messageQueue={"topic": name("steady")},
            longPollingTimeout="10s"))
        assert [m.WhichOneof("content") for m in got] == ["status", "message", "delivery_timestamp"], got
        properties = got[1].message.system_properties
        assert (properties.message_id, properties.delivery_attempt) == (message_id, 1), properties
        [acked] = client.unary("AckMessage", ack(
            properties.receipt_handle, group=name("steady"), topic=name("steady")))
        assert api.code_name(acked.status.code) == "OK", acked

    def stop(self):
        self._end.set()
        self.join()
        if self.error:
            raise self.error
        assert self.rounds > 20, f"only {self.rounds} rounds"
