#!/usr/bin/env python3
"""Bytes that are no gRPC at a broker's and a name server's plaintext and TLS ports, by the
thousand connections, while a well-behaved client sends and receives and must not notice.

    bad_wire.py BIN_DIR
"""
import random
import resource
import select
import socket
import ssl
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import api  # noqa: E402  (restarts us in a Python with grpcio)
from cluster import Cluster  # noqa: E402
from steady import Steady  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
HANDSHAKE_S = 1
SEED = 20261121


def frame(kind, payload=b"", flags=0, stream=0, length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(key, value):
    """A header, never indexed, as HPACK has it; lengths below 127 only, but for long values."""
    def text(s):
        if len(s) < 127:
            return bytes([len(s)]) + s
        rest, out = len(s) - 127, b"\x7f"
        while rest >= 128:
            out, rest = out + bytes([rest % 128 | 128]), rest // 128
        return out + bytes([rest]) + s
    return b"\x10" + text(key) + text(value)


def request(path=b"/grpc.health.v1.Health/Check", *more):
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
               (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more]
    return b"".join(literal(*header) for header in headers)


HELLO = PREFACE + frame(SETTINGS)
OPEN = HELLO + frame(HEADERS, request(), END_HEADERS, 1)


def attacks():
    """(name, bytes to send)"""
    noise = random.Random(SEED)
    for size in (1, 9, 100, 5000, 100000):
        yield f"{size} random bytes", noise.randbytes(size)
    yield "an HTTP/1.1 request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "half a preface", PREFACE[:11]
    yield "a preface and noise", PREFACE + noise.randbytes(3000)
    yield "a frame of 16 MiB announced", HELLO + frame(DATA, b"x" * 1000, 0, 1, length=0xffffff)
    yield "SETTINGS of a wrong size", PREFACE + frame(SETTINGS, b"12345")
    yield "a window of 2 GiB", HELLO + frame(WINDOW_UPDATE, struct.pack(">I", 0x7fffffff)) * 3
    yield "an even stream", HELLO + frame(HEADERS, request(), END_HEADERS, 2)
    yield "stream 0 with headers", HELLO + frame(HEADERS, request(), END_HEADERS, 0)
    yield "headers that are no HPACK", HELLO + frame(HEADERS, b"\xff" * 64, END_HEADERS, 1)
    yield "a header of 1 MiB", HELLO + b"".join(
        [frame(HEADERS, request(b"/a")[:16000], 0, 1)] +
        [frame(CONTINUATION, b"x" * 16000, 0, 1)] * 66)
    yield "a long header value", HELLO + frame(HEADERS, request(b"/x", (b"k", b"v" * 15000)), END_HEADERS, 1)
    yield "a path of 10 kB", HELLO + frame(HEADERS, request(b"/" + b"p" * 10000), END_HEADERS | END_STREAM, 1)
    yield "a path with bytes", HELLO + frame(HEADERS, request(b"/\x01\xff\xfe"), END_HEADERS | END_STREAM, 1)
    yield "no path", HELLO + frame(HEADERS, literal(b":method", b"POST"), END_HEADERS | END_STREAM, 1)
    yield "a cut message", OPEN + frame(DATA, b"\0\0\0\0\x09abc", END_STREAM, 1)
    yield "a message of 4 GiB announced", OPEN + frame(DATA, b"\0\xff\xff\xff\xffabc", 0, 1)
    yield "a compressed message", OPEN + frame(DATA, b"\1\0\0\0\3abc", END_STREAM, 1)
    yield "1,000 streams, reset at once", HELLO + b"".join(
        frame(HEADERS, request(), END_HEADERS, k) + frame(RST_STREAM, struct.pack(">I", 8), 0, k)
        for k in range(1, 2001, 2))
    yield "5,000 pings", HELLO + frame(PING, b"12345678") * 5000
    yield "5,000 settings", HELLO + frame(SETTINGS) * 5000
    yield "goaway", HELLO + frame(GOAWAY, b"\0" * 8)


def connect(address, tls):
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), 10)
    if not tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain)


def throw(address, data, tls):
    """Send, look at what comes for a moment, hang up."""
    try:
        with connect(address, tls) as peer:
            peer.settimeout(0.05)
            peer.sendall(data)
            while peer.recv(65536):
                pass
    except (OSError, ssl.SSLError):
        pass  # they hang up, or nothing comes


def throw_all(servers):
    count = 0
    for server in servers:
        for what, data in attacks():
            throw(server.listen, data, tls=False)
            throw(server.listen_tls, data, tls=False)  # no TLS at the TLS port
            throw(server.listen_tls, data, tls=True)
            assert server.alive, f"{what} ended {server.name}"
            count += 3
    return count


def storm(server, count):
    """Connect and hang up, at once, or with a reset."""
    reset = struct.pack("ii", 1, 0)
    for k in range(count):
        with connect(server.listen if k % 2 else server.listen_tls, tls=False) as peer:
            if k % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            elif k % 3 == 1:
                peer.sendall(PREFACE[:k % 24])
    assert server.alive, "connections ended the server"


def idle(server, count):
    """Connections that say nothing are closed: how many were within 20 x handshake_timeout."""
    peers = {}
    for k in range(count):
        peer = connect(server.listen if k % 2 else server.listen_tls, tls=False)
        peers[peer.fileno()] = peer
    poll = select.poll()
    for number in peers:
        poll.register(number, select.POLLIN | select.POLLHUP)
    end = time.monotonic() + 20 * HANDSHAKE_S
    while peers and time.monotonic() < end:
        for number, _ in poll.poll(100):
            try:
                over = not peers[number].recv(4096)
            except OSError:
                over = True
            if over:
                poll.unregister(number)
                peers.pop(number).close()
    left = len(peers)
    for peer in peers.values():
        peer.close()
    return count - left


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with tempfile.TemporaryDirectory() as folder, Cluster(sys.argv[1], folder) as cluster:
        setting = ["--set", f"handshake_timeout={HANDSHAKE_S}s"]
        names = cluster.namesrv("ns-1", *setting)
        broker = cluster.broker("broker-a", *setting)
        cluster.skua("topic", "create", "steady")
        cluster.skua("group", "create", "steady")
        steady = Steady(broker.listen)
        steady.start()
        thrown = throw_all(cluster.servers)
        for server in (broker, names):
            storm(server, 500)
        closed = idle(broker, 200)
        assert closed == 200, f"{200 - closed} of 200 idle connections are still open"
        for server in (broker, names):
            with api.Client(server.listen) as client:
                assert client.is_serving()
            assert cluster.skua("cluster", namesrv=names)
        steady.stop()
        for server in cluster.servers:
            server.stop()
            assert "ERROR: " not in server.log.read_text(errors="replace"), server.log.read_text()
    print(f"{thrown} attacks, 1000 connections cut, 200 idle ones closed; the good client did "
          f"{steady.rounds} rounds, the slowest in {steady.slowest_s:.2f} s")


if __name__ == "__main__":
    main()
