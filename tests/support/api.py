"""Any RPC of ours from Python, well-formed or not: messages are made of our .proto files as they
are in the source tree, requests may be dicts or raw bytes.

    sys.path.insert(0, …/tests/support)
    import api                          # restarts the script in the tests' own Python
    with api.Client("127.0.0.1:8081", client_id="c") as client:
        client.unary("QueryRoute", {"topic": {"name": "orders"}})       # [response]
        client.unary("skua.v1.BrokerAdmin/ListTopics", b"garbage")      # raises grpc.RpcError

The Python with grpcio is that of the official Python client (tests/clients/install.sh), in the
tests' cache.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _restart_with_grpc():
    """Become the same script under a Python that has grpcio."""
    script = ROOT / "tests" / "clients" / "install.sh"
    found = subprocess.run(["sh", script, "python"], check=True, capture_output=True, text=True)
    python = Path(found.stdout.strip().split("=", 1)[1]) / "bin" / "python"
    if os.environ.get("SKUA_TESTS_PYTHON") == str(python):
        raise ImportError(f"no grpcio in {python}")
    os.environ["SKUA_TESTS_PYTHON"] = str(python)
    os.execv(python, [str(python), *sys.argv])


try:
    import grpc
    import grpc_tools
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
except ImportError:
    _restart_with_grpc()

MESSAGING = "apache.rocketmq.v2.MessagingService"
# Stands for bytes that are no UTF-8, in any text of a dict: it is exchanged after packing.
NOT_UTF8, _BYTES, _WRONG = "\ue000", "\ue000".encode(), b"\xff\xfe\xfd"
TIMEOUT_S = 20


def _load():
    """A pool with all our files."""
    protos = ROOT / "api" / "proto"
    files = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    google = Path(grpc_tools.__file__).parent / "_proto"
    pool = descriptor_pool.DescriptorPool()
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{google}",
                        "--include_imports", f"--descriptor_set_out={out.name}", *files],
                       check=True)
        for file in descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file:
            pool.Add(file)
    return pool


POOL = _load()


def message_class(name):
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


def code_name(number):
    """Of apache.rocketmq.v2.Code."""
    codes = POOL.FindEnumTypeByName("apache.rocketmq.v2.Code").values_by_number
    return codes[number].name if number in codes else str(number)


def method_of(name):
    """ "QueryRoute", or "skua.v1.BrokerAdmin/ListTopics": its descriptor."""
    service, _, method = name.rpartition("/")
    return POOL.FindServiceByName(service or MESSAGING).methods_by_name[method]


def pack(name, request):
    """Bytes of a request that may be a dict (as JSON), or bytes already."""
    if isinstance(request, bytes):
        return request
    kind = message_factory.GetMessageClass(method_of(name).input_type)
    return json_format.ParseDict(request, kind()).SerializeToString().replace(_BYTES, _WRONG)


class Client:
    """One connection. `metadata` replaces the client's id where a test wants no or a bad one."""

    def __init__(self, address, client_id="test", tls_root=None):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1), ("grpc.max_metadata_size", 1 << 20)]
        self.channel = (grpc.secure_channel(address, grpc.ssl_channel_credentials(tls_root), options)
                        if tls_root else grpc.insecure_channel(address, options))
        self.metadata = [("x-mq-client-id", client_id)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def _call(self, name, kind):
        method = method_of(name)
        response = message_factory.GetMessageClass(method.output_type)
        return getattr(self.channel, kind)(f"/{method.containing_service.full_name}/{method.name}",
                                           response_deserializer=response.FromString)

    def unary(self, name, request, metadata=None, timeout=TIMEOUT_S):
        """All responses of a unary or server-streaming method."""
        streaming = method_of(name).server_streaming
        call = self._call(name, "unary_stream" if streaming else "unary_unary")
        metadata = self.metadata if metadata is None else metadata
        done = call(pack(name, request), metadata=metadata, timeout=timeout)
        return list(done) if streaming else [done]

    def begin(self, name, request, timeout=TIMEOUT_S):
        """A server-streaming call under way: an iterator of responses that can be cancelled."""
        return self._call(name, "unary_stream")(pack(name, request), metadata=self.metadata,
                                                timeout=timeout)

    def stream(self, name, requests, metadata=None, timeout=TIMEOUT_S):
        """A bidi stream: an iterator of responses; `requests` may be any iterable."""
        metadata = self.metadata if metadata is None else metadata
        return self._call(name, "stream_stream")((pack(name, request) for request in requests),
                                                 metadata=metadata, timeout=timeout)

    def is_serving(self, service=""):
        [answer] = self.unary("grpc.health.v1.Health/Check", {"service": service})
        return answer.status == 1
