"""The table of bad_input.py: (method, what is wrong, request, status, text[, metadata]).

A request is a dict (as in protobuf's JSON), raw bytes, or for a stream a list of them. `status`
is a code of RocketMQ, in the answer's status, or "grpc:NAME" for a call that fails, or both for
a stream that says why and ends. The text is exact. "@name" in a request stands for what the test
got from the servers before (receipt handles).
"""
import base64

from api import NOT_UTF8, message_class, method_of, pack

MIB = 1 << 20


# --- requests that are good, but for what a row changes --------------------------------------------

def name(text, **more):
    return {"name": text, **more}


def body(size):
    return base64.b64encode(b"x" * size).decode()


def message(topic="orders", size=1, properties=None, **system):
    return {"topic": name(topic), "body": body(size), "userProperties": properties or {},
            "systemProperties": {"messageId": "m-1", **system}}


def send(*messages, **of_one):
    return {"messages": list(messages) or [message(**of_one)]}


def receive(**changes):
    return {"group": name("billing"), "messageQueue": {"topic": name("orders")}, "batchSize": 1,
            "filterExpression": {"expression": "*"}, "invisibleDuration": "30s",
            "longPollingTimeout": "0.1s", **changes}


def filtered(expression, kind="TAG"):
    return receive(filterExpression={"type": kind, "expression": expression})


def pull(queue=0, topic="orders", **changes):
    return {"group": name("billing"), "messageQueue": {"topic": name(topic), "id": queue},
            "batchSize": 1, "offset": 0, **changes}


def ack(*handles, **changes):
    entries = [{"messageId": f"m-{k}", "receiptHandle": h} for k, h in enumerate(handles)]
    return {"group": name("billing"), "topic": name("orders"), "entries": entries, **changes}


def change(handle="@live", **changes):
    return {"group": name("billing"), "topic": name("orders"), "receiptHandle": handle,
            "invisibleDuration": "30s", "messageId": "m-1", **changes}


def offset(topic="orders", group="billing", queue=0, **more):
    return {"group": name(group), "messageQueue": {"topic": name(topic), "id": queue}, **more}


def query(policy, topic="orders", queue=0, **more):
    return {"messageQueue": {"topic": name(topic), "id": queue}, "queryOffsetPolicy": policy, **more}


def many(count):
    return {f"k{i}": "v" for i in range(count)}


def odd_duration(seconds, nanos):
    """receive() with an invisible duration that JSON cannot say."""
    request = pack("ReceiveMessage", receive(invisibleDuration=None))
    kind = message_class("google.protobuf.Duration")
    duration = kind(seconds=seconds, nanos=nanos).SerializeToString()
    return request + bytes([5 << 3 | 2, len(duration)]) + duration


# --- what many rows share --------------------------------------------------------------------------

def rows(method, *table):
    return [(method, *row) for row in table]


def undecodable(method):
    """What is said of bytes that are no request, or have a text that is none."""
    if method_of(method).client_streaming:
        return "grpc:INVALID_ARGUMENT", "a message of the stream is not valid, or a text in it is not UTF-8"
    return ("grpc:INVALID_ARGUMENT",
            f"the request is no valid {method_of(method).input_type.full_name}, or a text in it is not UTF-8")


GARBAGE = {"a length without bytes": b"\x0a", "an open group": b"\x0b", "field number 0": b"\x02\x00",
           "a length beyond the end": b"\x0a\x7fxx", "a varint without end": b"\x08" + b"\xff" * 11,
           "noise": bytes(range(255, 100, -1))}


def garbage(method):
    return rows(method, *((what, data, *undecodable(method)) for what, data in GARBAGE.items()))


BLANK = "{} is blank"
CHARACTER = "{} has the character 0x{:02x} at place {}; allowed are letters, digits and % | _ -"
CLIENT = "CLIENT_ID_REQUIRED", "the header x-mq-client-id is missing or blank; every client must send one"
NO_CLIENT, BLANK_CLIENT = [], [("x-mq-client-id", "  ")]
BAD_NAMESPACE = [("x-mq-client-id", "c"), ("x-mq-namespace", "no/slash")]
TOPIC, GROUP = ("topic name", "ILLEGAL_TOPIC", 127), ("consumer group name", "ILLEGAL_CONSUMER_GROUP", 120)


def wrong_names(method, kind, request, code=None):
    """Rows of every wrong name; `request(wrong)` makes the request."""
    what, status, most = kind
    status = code or status
    table = [("empty", "", BLANK.format(what)), ("blank", " \t", BLANK.format(what)),
             ("too long", "n" * (most + 1),
              f"{what} has {most + 1} characters; at most {most} are allowed"),
             ("with a space", "a b", CHARACTER.format(what, 0x20, 2)),
             ("with a dot", "a.b", CHARACTER.format(what, 0x2e, 2)),
             ("with a slash", "../etc", CHARACTER.format(what, 0x2e, 1)),
             ("with an accent", "caf\u00e9", CHARACTER.format(what, 0xc3, 4)),
             ("with a line feed", "orders\n", CHARACTER.format(what, 0x0a, 7))]
    made = [(f"{what} {how}", request(wrong), status, text) for how, wrong, text in table]
    for how, wrong in (("with a NUL", "orders\0x"), ("not UTF-8", f"o{NOT_UTF8}")):
        made.append((f"{what} {how}", request(wrong), *undecodable(method)))
    return rows(method, *made)


CREATE = ": create it first, or start the broker with auto_create_"


def topics(method, request, unknown=f"no topic 'nowhere' on broker broker-a{CREATE}topics"):
    """Rows of wrong topics, and of wrong callers; `request(topic)` makes the request."""
    made = wrong_names(method, TOPIC, request)
    for system in ("TBW102", "SCHEDULE_TOPIC_XXXX", "rmq_sys_anything"):
        made += rows(method, (f"system topic {system}", request(system), "ILLEGAL_TOPIC",
                              f"topic '{system}' is reserved for the system"))
    return made + rows(
        method,
        ("a retry topic of 256", request("%RETRY%" + "n" * 249), "ILLEGAL_TOPIC",
         "topic name has 256 characters; at most 255 are allowed"),
        ("an unknown topic", request("nowhere"), "TOPIC_NOT_FOUND", unknown),
        ("no client id", request("orders"), *CLIENT, NO_CLIENT),
        ("a blank client id", request("orders"), *CLIENT, BLANK_CLIENT),
        ("a bad namespace header", request("orders"), "ILLEGAL_TOPIC",
         CHARACTER.format("namespace", 0x2f, 3), BAD_NAMESPACE))


NO_GROUP = "CONSUMER_GROUP_NOT_FOUND", f"no consumer group 'nobody' on broker broker-a{CREATE}groups"
STALE = ("INVALID_RECEIPT_HANDLE", "the receipt handle is not that of a message that is now leased to "
         "this group: it has expired, was used, or is not ours")


def groups(method, request, unknown=NO_GROUP):
    """Rows of wrong groups; `request(group)` makes the request."""
    return wrong_names(method, GROUP, request) + rows(
        method,
        ("a system group", request("CID_RMQ_SYS_X"), "ILLEGAL_CONSUMER_GROUP",
         "consumer group 'CID_RMQ_SYS_X' is reserved for the system"),
        *([("an unknown group", request("nobody"), *unknown)] if unknown else []))


# --- SendMessage -----------------------------------------------------------------------------------

BIG = "MESSAGE_PROPERTIES_TOO_LARGE"
KEY = "ILLEGAL_MESSAGE_PROPERTY_KEY"
CONTROL = "the key or the value of a user property has a control character"
LATER = "{} in a later version of Skua"
CONFLICT = "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE"
MIXED = "the message is of type {}, the topic 'mixed' takes NORMAL, FIFO, DELAY and TRANSACTION"
LONG_AGO = {"deliveryTimestamp": "2020-01-01T00:00:00Z"}
ODD = undecodable("SendMessage")

SENDS = [
    *(row[:4] + (row[4].split(", or")[0],) for row in garbage("SendMessage")),
    *topics("SendMessage", lambda topic: send(topic=topic)),
    *rows(
        "SendMessage",
        ("no messages", {}, "MESSAGE_CORRUPTED", "the request has no messages"),
        ("an empty message", {"messages": [{}]}, "ILLEGAL_TOPIC", "topic name is blank"),
        ("two topics", send(message(), message("other")), "MESSAGE_CORRUPTED",
         "the messages of one request must have one topic"),
        ("two namespaces", send(message(), {**message(), "topic": name("orders", resourceNamespace="n")}),
         "MESSAGE_CORRUPTED", "the messages of one request must have one topic"),
        ("a bad namespace", send({**message(), "topic": name("orders", resourceNamespace="a b")}),
         "ILLEGAL_TOPIC", CHARACTER.format("namespace", 0x20, 2)),
        ("no body", send(size=0), "MESSAGE_BODY_EMPTY", "the message has no body"),
        ("4 MiB and a byte", send(size=4 * MIB + 1), "MESSAGE_BODY_TOO_LARGE",
         "the body has 4194305 bytes, the limit is 4194304 (max_body)"),
        ("a request of 9 MiB", send(size=9 * MIB), "grpc:RESOURCE_EXHAUSTED",
         "Received message larger than max (9437211 vs. 8388608)"),
        ("a batch over its limit", send(message(size=4 * MIB), message(size=3 * MIB + 1)),
         "PAYLOAD_TOO_LARGE", "the bodies have 7340033 bytes together, the limit is 7340032 (max_batch_size)"),
        ("4097 messages", send(*[message()] * 4097), "BAD_REQUEST",
         "the request has 4097 messages, the limit is 4096 (max_batch)"),
        ("a million empty messages", b"\x0a\x00" * 10**6, "BAD_REQUEST",
         "the request has 1000000 messages, the limit is 4096 (max_batch)"),
        ("one bad of three", send(message(), message(size=0), message()), "MESSAGE_BODY_EMPTY",
         "the message has no body"),
        ("129 properties", send(properties=many(129)), BIG,
         "the message has 129 user properties, the limit is 128 (max_properties)"),
        ("a reserved key", send(properties={"TAGS": "x"}), KEY,
         "the property key 'TAGS' is reserved for the system"),
        ("the sharding key", send(properties={"__SHARDINGKEY": "x"}), KEY,
         "the property key '__SHARDINGKEY' is reserved for the system"),
        ("a control character in a key", send(properties={"a\nb": "x"}), KEY, CONTROL),
        ("a control character in a value", send(properties={"a": "x\x7f"}), KEY, CONTROL),
        ("NUL in a value", send(properties={"a": "x\0"}), KEY, CONTROL),
        ("a key that is not UTF-8", send(properties={NOT_UTF8: "x"}), *ODD),
        ("a value that is not UTF-8", send(properties={"a": NOT_UTF8}), *ODD),
        ("properties of 16 KiB and a byte", send(properties={"k": "v" * (16 << 10)}), BIG,
         "user properties, tag and keys have 16385 bytes, the limit is 16384 (max_properties_size)"),
        ("tag and keys count", send(properties={"k": "v" * 16000}, keys=["k" * 300], tag="t" * 100), BIG,
         "user properties, tag and keys have 16401 bytes, the limit is 16384 (max_properties_size)"),
        ("a blank tag", send(tag=" "), "ILLEGAL_MESSAGE_TAG", "the tag is blank"),
        ("a tag with a bar", send(tag="a|b"), "ILLEGAL_MESSAGE_TAG", "the tag has a '|'"),
        ("a tag with a control character", send(tag="a\u0085"), "ILLEGAL_MESSAGE_TAG",
         "the tag has a control character"),
        ("a tag that is not UTF-8", send(tag=NOT_UTF8), *ODD),
        ("a blank key", send(keys=["good", "\u2003"]), "ILLEGAL_MESSAGE_KEY", "a message key is blank"),
        ("a key with a control character", send(keys=["a\x01"]), "ILLEGAL_MESSAGE_KEY",
         "a message key has a control character"),
        ("no id", send(messageId=""), "ILLEGAL_MESSAGE_ID", "the message has no id, or a blank one"),
        ("a blank id", send(messageId="  "), "ILLEGAL_MESSAGE_ID", "the message has no id, or a blank one"),
        ("an id of 256", send(messageId="i" * 256), "ILLEGAL_MESSAGE_ID",
         "the message id has 256 bytes, the limit is 255"),
        ("an id that is not UTF-8", send(messageId=NOT_UTF8), *ODD),
        ("an id with a NUL", send(messageId="a\0b"), *ODD),
        ("a trace context of 32 KiB and a byte", send(traceContext="t" * ((32 << 10) + 1)), BIG,
         "the trace context has 32769 bytes, the limit is 32768 (max_trace_context)"),
        ("a delivery time too far ahead", send(topic="delay", deliveryTimestamp="2100-01-01T00:00:00Z"),
         "ILLEGAL_DELIVERY_TIME", "the delivery time is further ahead than 86400 s (max_delay)"),
        ("the last delivery time there is", send(topic="delay", deliveryTimestamp="9999-12-31T23:59:59Z"),
         "ILLEGAL_DELIVERY_TIME", "the delivery time is further ahead than 86400 s (max_delay)"),
        ("a blank message group", send(topic="fifo", messageGroup=" "), "ILLEGAL_MESSAGE_GROUP",
         "the message group is blank"),
        ("a message group of 64", send(topic="fifo", messageGroup="g" * 64), "ILLEGAL_MESSAGE_GROUP",
         "the message group has 64 bytes, the limit is 63 (max_message_group)"),
        ("a message group with a control character", send(topic="fifo", messageGroup="g\t"),
         "ILLEGAL_MESSAGE_GROUP", "the message group has a control character"),
        ("a negative priority", send(priority=-1), "BAD_REQUEST", "the priority is negative"),
        ("a half message to wait two hours",
         send(messageType="TRANSACTION", orphanedTransactionRecoveryDuration="7200s"), "BAD_REQUEST",
         "orphaned_transaction_recovery_duration is 7200 s, the limit is 3600 s"),
        ("a half message with a delivery time", send(messageType="TRANSACTION", **LONG_AGO), CONFLICT,
         "a TRANSACTION message may not have a delivery time"),
        ("a batch of delayed messages", send(*[message("delay", **LONG_AGO)] * 2), "BAD_REQUEST",
         "DELAY messages cannot be sent in batches"),
        ("FIFO to a NORMAL topic", send(messageGroup="g"), CONFLICT,
         "the message is of type FIFO, the topic 'orders' takes NORMAL"),
        ("NORMAL to a FIFO topic", send(topic="fifo"), CONFLICT,
         "the message is of type NORMAL, the topic 'fifo' takes FIFO"),
        ("lite to a mixed topic", send(topic="mixed", liteTopic="l"), CONFLICT, MIXED.format("LITE")),
        ("priority to a mixed topic", send(topic="mixed", priority=1), CONFLICT, MIXED.format("PRIORITY")),
        ("FIFO to a FIFO topic", send(topic="fifo", messageGroup="g"), "NOT_IMPLEMENTED",
         LATER.format("FIFO messages come")),
        ("DELAY to a DELAY topic", send(topic="delay", **LONG_AGO), "NOT_IMPLEMENTED",
         LATER.format("DELAY messages come")),
        ("TRANSACTION to a mixed topic", send(topic="mixed", messageType="TRANSACTION"), "NOT_IMPLEMENTED",
         LATER.format("TRANSACTION messages come")),
        ("4 MiB exactly: good", send(size=4 * MIB), "OK", "OK"),
        ("16 KiB of properties exactly: good", send(properties={"k": "v" * ((16 << 10) - 1)}), "OK", "OK"),
        ("128 properties: good", send(properties=many(128)), "OK", "OK")),
]

# --- ReceiveMessage --------------------------------------------------------------------------------

INVISIBLE = ("the invisible duration is {} ms; allowed are 1000 to 43200000 ms "
             "(min_invisible_duration, max_invisible_duration)")
NO_SQL = "NOT_IMPLEMENTED", "SQL filters come in a later version of Skua; TAG filters work"
FILTER = "ILLEGAL_FILTER_EXPRESSION"


def invisible(request, ms):
    return request, "ILLEGAL_INVISIBLE_TIME", INVISIBLE.format(ms)


RECEIVES = [
    *garbage("ReceiveMessage"),
    *topics("ReceiveMessage", lambda topic: receive(messageQueue={"topic": name(topic)})),
    *groups("ReceiveMessage", lambda group: receive(group=name(group))),
    *rows(
        "ReceiveMessage",
        ("nothing at all", {}, "ILLEGAL_TOPIC", "topic name is blank"),
        ("no group", receive(group=None), "ILLEGAL_CONSUMER_GROUP", "consumer group name is blank"),
        ("batch_size 0", receive(batchSize=0), "BAD_REQUEST", "batch_size is 0; it must be at least 1"),
        ("batch_size -1", receive(batchSize=-1), "BAD_REQUEST", "batch_size is -1; it must be at least 1"),
        ("no invisible duration", *invisible(receive(invisibleDuration=None), 0)),
        ("an invisible duration too short", *invisible(receive(invisibleDuration="0.999s"), 999)),
        ("an invisible duration too long", *invisible(receive(invisibleDuration="43201s"), 43201000)),
        ("a negative invisible duration", *invisible(receive(invisibleDuration="-1s"), -1000)),
        ("an invisible duration that overflows",
         *invisible(odd_duration(2**63 // 1000 - 1, 2**31 - 1), 2**63 - 1)),
        ("an invisible duration that underflows",
         *invisible(odd_duration(-(2**63 // 1000) + 1, -2**31), -2**63)),
        ("a negative polling time", receive(longPollingTimeout="-1s"), "ILLEGAL_POLLING_TIME",
         "long_polling_timeout is negative"),
        ("SQL", filtered("a = 1", "SQL"), *NO_SQL),
        ("empty SQL", filtered("", "SQL"), FILTER, "the SQL expression is empty"),
        ("an unknown filter type", filtered("a", 9), FILTER, "unknown filter type 9"),
        ("a filter of bars", filtered("||"), FILTER, "the expression has no tag between its bars"),
        ("a filter of 8193", filtered("t" * 8193), FILTER, "the expression is longer than 8192 bytes"),
        ("a filter that is not UTF-8", filtered(NOT_UTF8), *undecodable("ReceiveMessage")),
        ("an attempt id that is not UTF-8", receive(attemptId=NOT_UTF8), *undecodable("ReceiveMessage")),
        ("nothing to receive", receive(messageQueue={"topic": name("fifo")}), "MESSAGE_NOT_FOUND",
         "no new message")),
]

# --- AckMessage, ChangeInvisibleDuration -----------------------------------------------------------

HANDLES = {"an empty handle": "", "a garbage handle": "garbage", "a handle of 1 MiB": "A" * MIB,
           "an altered handle": "@altered", "a cut handle": "@cut", "a used handle": "@used",
           "a handle from before a change": "@old", "a handle of another broker": "@foreign",
           "a handle of another topic": "@elsewhere"}
NOWHERE = "no topic 'nowhere' on broker broker-a"
TOO_LONG = "the invisible duration is {} ms; allowed are 0 to 43200000 ms (max_invisible_duration)"

ACKS = [
    *garbage("AckMessage"), *garbage("ChangeInvisibleDuration"),
    *topics("AckMessage", lambda topic: ack("@live", topic=name(topic)), NOWHERE),
    *topics("ChangeInvisibleDuration", lambda topic: change(topic=name(topic)), NOWHERE),
    *groups("AckMessage", lambda group: ack("@live", group=name(group)), STALE),
    *groups("ChangeInvisibleDuration", lambda group: change(group=name(group)), STALE),
    *rows("AckMessage", *((what, ack(handle), *STALE) for what, handle in HANDLES.items())),
    *rows("ChangeInvisibleDuration",
          *((what, change(handle), *STALE) for what, handle in HANDLES.items())),
    *rows(
        "AckMessage",
        ("no entries", ack(), "BAD_REQUEST", "the request has no entries"),
        ("4097 entries", ack(*["x"] * 4097), "BAD_REQUEST", "the request has 4097 entries, the limit is 4096"),
        ("a handle of another group", ack("@live", group=name("others")), *STALE),
        ("a handle that is not UTF-8", ack(NOT_UTF8), *undecodable("AckMessage"))),
    *rows(
        "ChangeInvisibleDuration",
        ("nothing at all", {}, "ILLEGAL_TOPIC", "topic name is blank"),
        ("a negative duration", change(invisibleDuration="-1s"), "ILLEGAL_INVISIBLE_TIME",
         TOO_LONG.format(-1000)),
        ("a duration too long", change(invisibleDuration="43201s"), "ILLEGAL_INVISIBLE_TIME",
         TOO_LONG.format(43201000)),
        ("a handle of another group", change(group=name("others")), *STALE),
        ("a handle that is not UTF-8", change(NOT_UTF8), *undecodable("ChangeInvisibleDuration"))),
    # Nothing of all this has touched the lease.
    *rows("AckMessage",
          ("a live handle and a used one", ack("@live", "@used"), "MULTIPLE_RESULTS", "see entries"),
          ("and now it is used", ack("@live"), *STALE)),
]

# --- the pull side ---------------------------------------------------------------------------------

def queues(method, request):
    return rows(method, *((f"queue {queue} of 2", request(queue), "BAD_REQUEST",
                           f"no queue {queue}: the topic 'orders' has 2 on this broker")
                          for queue in (-1, 2, 2**31 - 1)))


def offsets(method, request):
    return rows(method, *((f"offset {number} of none", request(number), "ILLEGAL_OFFSET",
                           f"offset {number} is outside [0, 0], where the queue begins and ends now")
                          for number in (-1, 1, 2**63 - 1, -2**63)))


PULLS = [
    *[row for method in ("PullMessage", "UpdateOffset", "GetOffset", "QueryOffset")
      for row in garbage(method) + rows(method, ("nothing at all", {}, "ILLEGAL_TOPIC", "topic name is blank"))],
    *topics("PullMessage", lambda topic: pull(topic=topic)),
    *groups("PullMessage", lambda group: pull(group=name(group))),
    *queues("PullMessage", pull),
    *offsets("PullMessage", lambda number: pull(topic="fifo", offset=number)),
    *topics("UpdateOffset", offset), *groups("UpdateOffset", lambda group: offset(group=group)),
    *queues("UpdateOffset", lambda queue: offset(queue=queue)),
    *offsets("UpdateOffset", lambda number: offset("fifo", offset=number)),
    *topics("GetOffset", offset), *groups("GetOffset", lambda group: offset(group=group)),
    *queues("GetOffset", lambda queue: offset(queue=queue)),
    *topics("QueryOffset", lambda topic: query("END", topic)),
    *queues("QueryOffset", lambda queue: query("END", queue=queue)),
    *rows(
        "PullMessage",
        ("batch_size 0", pull(batchSize=0), "BAD_REQUEST", "batch_size is 0; it must be at least 1"),
        ("batch_size -1", pull(batchSize=-1), "BAD_REQUEST", "batch_size is -1; it must be at least 1"),
        ("a negative polling time", pull(longPollingTimeout="-1s"), "ILLEGAL_POLLING_TIME",
         "long_polling_timeout is negative"),
        ("SQL", pull(filterExpression={"type": "SQL", "expression": "a = 1"}), *NO_SQL),
        ("a filter of bars", pull(filterExpression={"expression": "||||"}), FILTER,
         "the expression has no tag between its bars"),
        ("nothing there", pull(topic="fifo"), "MESSAGE_NOT_FOUND", "no new message")),
    *rows("GetOffset", ("a group that never read", offset("fifo"), "OFFSET_NOT_FOUND",
                        "the group 'billing' has no offset in queue 0 of 'fifo' yet")),
    *rows(
        "QueryOffset",
        ("an unknown policy", query(7), "BAD_REQUEST",
         "unknown query_offset_policy 7; there are BEGINNING, END and TIMESTAMP"),
        ("no time", query("TIMESTAMP"), "BAD_REQUEST", "query_offset_policy TIMESTAMP needs a timestamp"),
        ("the first time there is", query("TIMESTAMP", timestamp="0001-01-01T00:00:00Z"), "OK", "OK"),
        ("the last time there is", query("TIMESTAMP", timestamp="9999-12-31T23:59:59.999Z"), "OK", "OK")),
]
