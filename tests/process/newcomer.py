#!/usr/bin/env python3
"""What somebody stumbled over who used Skua for the first time, so that nobody does again.

    newcomer.py BIN_DIR
"""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from cli import Shell  # noqa: E402
from cluster import Cluster  # noqa: E402


def first_messages_came_in_reverse(sh):
    """Sends that wait for the route, and for the first connection, keep their order. (Unary calls
    under way together may still overtake each other by a few places.)"""
    sh.run("topic", "create", "one", "--queues", 1)
    sent = sh.lines("send", "one", "--body", "x", "--count", 200)
    offsets = [m["offset"] for m in sent]
    assert all(abs(offset - k) < 20 for k, offset in enumerate(offsets)), offsets


def main():
    bin_dir = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, Path(folder)) as cluster:
        dev = Shell(bin_dir / "skua", cluster.dev().listen)
        first_messages_came_in_reverse(dev)
    with tempfile.TemporaryDirectory() as folder, Cluster(bin_dir, Path(folder)) as cluster:
        names = cluster.namesrv("ns-1")
        cluster.broker("broker-a")
        first_messages_came_in_reverse(Shell(bin_dir / "skua", names.listen))
    print("nobody stumbles here any more")


if __name__ == "__main__":
    main()
