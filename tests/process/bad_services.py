"""The second half of the table of bad_input.py: clients, routes, administration, name servers."""
from api import NOT_UTF8, method_of
from bad_requests import (ACKS, CHARACTER, CLIENT, BLANK_CLIENT, GROUP, LATER, NO_CLIENT, NO_GROUP, NOWHERE,
                          PULLS, RECEIVES, SENDS, TOPIC, garbage, groups, many, name, rows, topics,
                          undecodable, wrong_names)

ADMIN, NAMES = "skua.v1.BrokerAdmin/", "skua.v1.NameServer/"
ALPHA = "\u03b1"  # two bytes of UTF-8


# --- clients and routes: a name server answers the same ----------------------------------------------

def settings(kind="PRODUCER", **more):
    return {"settings": {"clientType": kind, **more}}


def consumer(group):
    return settings("SIMPLE_CONSUMER", subscription={"group": name(group)})


def client_properties(values):
    return settings(publishing={}, clientProperties=values)


def heartbeat(group):
    return {"group": name(group), "clientType": "SIMPLE_CONSUMER"}


BAD_TYPE, BAD_PROPERTY = "UNRECOGNIZED_CLIENT_TYPE", "INVALID_CLIENT_PROPERTIES"
BAD_KEY = ("the key of client property 1 is not legal: 1 to 64 letters, digits and _ . -, a letter first, "
           "not beginning with rocketmq.")

TELEMETRY = [
    *garbage("Telemetry"),
    *groups("Telemetry", consumer, unknown=None),
    *rows(
        "Telemetry",
        ("no client id", settings(publishing={}), *CLIENT, NO_CLIENT),
        ("a blank client id", settings(publishing={}), *CLIENT, BLANK_CLIENT),
        ("no client type", settings("CLIENT_TYPE_UNSPECIFIED"), BAD_TYPE,
         "the settings have no client type that is supported"),
        ("an unknown client type", settings(77), BAD_TYPE,
         "the settings have no client type that is supported"),
        ("a producer without publishing", settings(), BAD_TYPE, "client type PRODUCER must come with publishing"),
        ("a producer with a subscription", settings(subscription={}), BAD_TYPE,
         "client type PRODUCER must come with publishing"),
        ("a consumer with publishing", settings("PUSH_CONSUMER", publishing={}), BAD_TYPE,
         "client type PUSH_CONSUMER must come with a subscription"),
        ("a consumer without a group", settings("PUSH_CONSUMER", subscription={}), "ILLEGAL_CONSUMER_GROUP",
         "consumer group name is blank"),
        ("a client property without a name", client_properties({"": "v"}), BAD_PROPERTY, BAD_KEY),
        ("a client property of Apache's", client_properties({"rocketmq.x": "v"}), BAD_PROPERTY, BAD_KEY),
        ("a client property in long Greek", client_properties({"a" + ALPHA * 40: "v"}), BAD_PROPERTY, BAD_KEY),
        ("a long client property", client_properties({"a": "v" * 257}), BAD_PROPERTY,
         "client property 'a' has 257 bytes; at most 256"),
        ("33 client properties", client_properties(many(33)), BAD_PROPERTY, "33 client properties; at most 32"),
        ("long client properties", client_properties({f"k{i}": "v" * 256 for i in range(16)}), BAD_PROPERTY,
         "client properties have 4134 bytes together; at most 4096")),
]

ROUTES = [
    *garbage("QueryRoute"), *garbage("QueryAssignment"), *garbage("Heartbeat"),
    *garbage("NotifyClientTermination"),
    *topics("QueryRoute", lambda topic: {"topic": name(topic)}, "topic 'nowhere' does not exist"),
    *topics("QueryAssignment", lambda topic: {"topic": name(topic), "group": name("billing")},
            "topic 'nowhere' does not exist"),
    *groups("QueryAssignment", lambda group: {"topic": name("orders"), "group": name(group)}, unknown=None),
    *groups("Heartbeat", heartbeat, unknown=None),
    *rows("QueryRoute",
          ("no topic", {}, "ILLEGAL_TOPIC", "topic name is blank"),
          ("strange endpoints: ignored",
           {"topic": name("orders"), "endpoints": {"scheme": 9, "addresses": [{"port": 70000}]}}, "OK", "OK")),
    *rows("QueryAssignment",
          ("no topic and no group", {}, "ILLEGAL_TOPIC", "topic name is blank"),
          ("no group", {"topic": name("orders")}, "ILLEGAL_CONSUMER_GROUP", "consumer group name is blank")),
    *rows("Heartbeat",
          ("no client id", {}, *CLIENT, NO_CLIENT),
          ("a consumer without a group", {"clientType": "PUSH_CONSUMER"}, "ILLEGAL_CONSUMER_GROUP",
           "consumer group name is blank")),
    *rows("NotifyClientTermination",
          ("no client id", {}, *CLIENT, NO_CLIENT),
          ("a client that nobody knows: good", {}, "OK", "OK")),
    *TELEMETRY,
]

UNBUILT = [
    *rows("ForwardMessageToDeadLetterQueue",
          ("not built yet", {}, "NOT_IMPLEMENTED", LATER.format("dead letter queues come")),
          ("no client id", {}, *CLIENT, NO_CLIENT)),
    *rows("EndTransaction", ("not built yet", {}, "NOT_IMPLEMENTED", LATER.format("transactions come"))),
    *rows("RecallMessage",
          ("not built yet", {}, "NOT_IMPLEMENTED", LATER.format("recalling delayed messages comes"))),
    *rows("SyncLiteSubscription", ("not built yet", {}, "NOT_IMPLEMENTED", LATER.format("lite topics come"))),
    *rows("apache.rocketmq.v2.Admin/GetProxyRuntimeStats",
          ("not built yet", {}, "grpc:UNIMPLEMENTED",
           "no such method: /apache.rocketmq.v2.Admin/GetProxyRuntimeStats")),
]

# --- administration: the calls fail with a status ----------------------------------------------------

INVALID = "grpc:INVALID_ARGUMENT"


def topic(text="new", **more):
    return {"topic": {"name": text, **more}}


def group(text="new", **more):
    return {"group": {"name": text, **more}}


ADMINS = [
    *[row for method in ("CreateTopic", "DeleteTopic", "ListTopics", "DescribeTopic", "CreateGroup",
                         "DeleteGroup", "ListGroups", "DescribeGroup", "DescribeBroker")
      for row in garbage(ADMIN + method)],
    *wrong_names(ADMIN + "CreateTopic", TOPIC, topic, INVALID),
    *wrong_names(ADMIN + "CreateGroup", GROUP, group, INVALID),
    *rows(
        ADMIN + "CreateTopic",
        ("no topic", {}, INVALID, "the request has no topic"),
        ("a system topic", topic("TBW102"), INVALID, "topic 'TBW102' is reserved for the system"),
        ("a bad namespace", topic("a b%new"), INVALID, CHARACTER.format("topic name", 0x20, 2)),
        ("-1 queues", topic(readQueues=-1), INVALID, "read_queues is -1; allowed are 1 to 4096 (max_queues)"),
        ("4097 queues", topic(writeQueues=4097), INVALID,
         "write_queues is 4097; allowed are 1 to 4096 (max_queues)"),
        ("an unknown type", topic(type=99), INVALID, "unknown topic type 99"),
        ("a negative type", topic(type=-1), INVALID, "unknown topic type -1"),
        ("LITE", topic(type="LITE"), INVALID, "topics of type LITE come in a later version of Skua"),
        ("mixed of type FIFO", topic(mixed=True, type="FIFO"), INVALID,
         "a mixed topic has the type NORMAL, not FIFO"),
        ("an unknown permission", topic(permission=9), INVALID,
         "unknown permission 9; there are NONE, READ, WRITE and READ_WRITE"),
        ("a negative permission", topic(permission=-1), INVALID,
         "unknown permission -1; there are NONE, READ, WRITE and READ_WRITE"),
        ("other settings than there are", topic("orders", readQueues=3), "grpc:ALREADY_EXISTS",
         "topic 'orders' exists with other settings: NORMAL, 2 read and 2 write queues")),
    *rows(
        ADMIN + "CreateGroup",
        ("no group", {}, INVALID, "the request has no group"),
        ("a system group", group("CID_RMQ_SYS_X"), INVALID,
         "consumer group 'CID_RMQ_SYS_X' is reserved for the system"),
        ("-1 attempts", group(maxAttempts=-1), INVALID,
         "max_attempts is -1; allowed are 1 to 1000, or 0 for the default"),
        ("1001 attempts", group(maxAttempts=1001), INVALID,
         "max_attempts is 1001; allowed are 1 to 1000, or 0 for the default"),
        ("other settings than there are", group("billing", orderly=True), "grpc:ALREADY_EXISTS",
         "consumer group 'billing' exists with other settings: max_attempts 17, not orderly")),
]
for verb in ("Delete", "Describe"):
    ADMINS += wrong_names(f"{ADMIN}{verb}Topic", TOPIC, name, INVALID)
    ADMINS += wrong_names(f"{ADMIN}{verb}Group", GROUP, name, INVALID)
    ADMINS += rows(f"{ADMIN}{verb}Topic", ("an unknown topic", name("nowhere"), "grpc:NOT_FOUND", NOWHERE))
    ADMINS += rows(f"{ADMIN}{verb}Group", ("an unknown group", name("nobody"), "grpc:NOT_FOUND",
                                           "no consumer group 'nobody' on broker broker-a"))

BROKER = [
    *SENDS, *RECEIVES, *ACKS, *PULLS, *ROUTES, *UNBUILT, *ADMINS,
    *rows("Telemetry", ("an unknown group", consumer("nobody"), "CONSUMER_GROUP_NOT_FOUND, then " + INVALID,
                        NO_GROUP[1])),
    *rows("Heartbeat",
          ("an unknown group", heartbeat("nobody"), *NO_GROUP),
          ("an unknown client type", {"clientType": 77}, BAD_TYPE, "unknown client type 77")),
    *rows(NAMES + "ListTopics", ("asked of a broker", {}, "grpc:UNIMPLEMENTED",
                                 "no such method: /skua.v1.NameServer/ListTopics")),
]

# --- the name server -----------------------------------------------------------------------------------

def report(broker=None, **more):
    identity = {"cluster": "c", "name": "intruder", "incarnation": 7, **at(), **(broker or {})}
    return {"report": {"broker": identity, "version": 1, **more}}


def at(host="127.0.0.1", port=1, scheme="IPv4", count=1):
    return {"endpoints": {"scheme": scheme, "addresses": [{"host": host, "port": port}] * count}}


REGISTER = [
    *garbage(NAMES + "Register"),
    *rows(
        NAMES + "Register",
        ("nothing", {}, INVALID, "a message without report, heartbeat or leaving"),
        ("no broker", {"report": {}}, INVALID, "the report does not say which broker it is of"),
        ("no cluster", report({"cluster": ""}), INVALID, "cluster is empty"),
        ("no name", report({"name": ""}), INVALID, "broker name is empty"),
        ("a name not UTF-8", report({"name": NOT_UTF8}), *undecodable(NAMES + "Register")),
        ("a name with a NUL", report({"name": "broker-a\0x"}), *undecodable(NAMES + "Register")),
        ("a name too long", report({"name": "n" * 513}), INVALID,
         f"broker name '{'n' * 40}…' has 513 bytes; at most 512 are allowed"),
        ("a negative id", report({"id": -1}), INVALID, "broker id -1 is negative"),
        ("no incarnation", report({"incarnation": 0}), INVALID, "incarnation is 0"),
        ("port 0", report(at(port=0)), INVALID, "endpoints: port 0 is not one of 1 to 65535"),
        ("port 65536", report(at(port=65536)), INVALID,
         "endpoints: port 65536 is not one of 1 to 65535"),
        ("no host", report(at(host="")), INVALID, "endpoints: host is empty"),
        ("no scheme", report(at(scheme="ADDRESS_SCHEME_UNSPECIFIED")), INVALID,
         "endpoints: the scheme must be IPv4, IPv6 or a domain name"),
        ("two domain names", report(at(scheme="DOMAIN_NAME", count=2)), INVALID,
         "endpoints: a domain name stands alone"),
        ("17 addresses", report(at(count=17)), INVALID, "endpoints: 17 addresses; at most 16"),
        ("a topic without a name", report(topics=[{}]), INVALID, "topic is empty"),
        ("a topic not UTF-8", report(topics=[name(NOT_UTF8)]), *undecodable(NAMES + "Register")),
        ("a topic with a long name", report(topics=[name(ALPHA * 400)]), INVALID,
         f"topic '{ALPHA * 20}…' has 800 bytes; at most 512 are allowed"),
        ("a topic twice", report(topics=[name("a"), name("a")]), INVALID, "topic 'a' is reported twice"),
        ("-1 queues", report(topics=[name("a", readQueues=-1)]), INVALID,
         "topic 'a' has -1 read and 0 write queues; at most 65536 are allowed"),
        ("a billion queues", report(topics=[name("a", readQueues=1, writeQueues=10**9)]), INVALID,
         "topic 'a' has 1 read and 1000000000 write queues; at most 65536 are allowed"),
        ("a group without a name", report(orderlyGroups=[""]), INVALID, "group is empty"),
        ("two brokers on one stream", [report(), report({"name": "another"})], INVALID,
         "one stream speaks for one broker, 'intruder:0'")),
]

NOT_HERE = ("this is a name server; {} is served by the brokers of the topic's route: "
            "ask QueryRoute and connect to one of them")
NAME_SERVER = [*ROUTES, *REGISTER]
for method in method_of("QueryRoute").containing_service.methods_by_name:
    if method not in ("QueryRoute", "QueryAssignment", "Heartbeat", "NotifyClientTermination", "Telemetry"):
        NAME_SERVER += garbage(method) + rows(
            method, ("asked of a name server", {}, "NOT_IMPLEMENTED", NOT_HERE.format(method)),
            ("no client id", {}, *CLIENT, NO_CLIENT))
for method in ("WatchRoutes", "DescribeCluster", "ListTopics"):
    NAME_SERVER += garbage(NAMES + method)
NAME_SERVER += rows(ADMIN + "ListTopics", ("asked of a name server", {}, "grpc:UNIMPLEMENTED",
                                           "no such method: /skua.v1.BrokerAdmin/ListTopics"))
