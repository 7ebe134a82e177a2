"""cluster.py against a program that only pretends to be a server."""
import os
import signal
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cluster import Cluster, wait_until

HERE = Path(__file__).resolve().parent

PRETENDER = f"""#!{sys.executable}
import signal, socket, sys
def bind(option):
    host, port = sys.argv[sys.argv.index(option) + 1].rsplit(":", 1)
    bound = socket.create_server((host, int(port)))
    return bound, "%s:%d" % bound.getsockname()
if "--broken" in sys.argv:
    sys.exit("cannot start: broken")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3 if "--stubborn" in sys.argv else 0))
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(66))
plain, tls = bind("--listen"), bind("--listen-tls")
print("starting", file=sys.stderr)
if "--racy" in sys.argv:
    print("WARNING: ThreadSanitizer: data race (pid=1)")
    print("  Write of size 4")
print("ready", "listen=" + plain[1], "listen-tls=" + tls[1], flush=True)
signal.pause()
"""


class ClusterTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        for name in ("skua", "skua-namesrv", "skua-broker"):
            program = self.folder / name
            program.write_text(PRETENDER)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def test_restart_keeps_ports(self):
        with Cluster(self.folder, self.folder) as cluster:
            server = cluster.namesrv("ns-1")
            before = (server.pid, server.ready)
            self.assertTrue(server.alive)
            for end in (server.stop, server.kill):
                end()
                self.assertFalse(server.alive)
                server.start()
                self.assertEqual(server.ready, before[1])
            self.assertNotEqual(server.pid, before[0])
        self.assertFalse(server.alive)

    def test_access_names_every_name_server(self):
        with Cluster(self.folder, self.folder) as cluster:
            ones = [cluster.namesrv("ns-1"), cluster.namesrv("ns-2")]
            broker = cluster.broker("broker-a")
            self.assertEqual(cluster.access(), f"{ones[0].listen};{ones[1].listen}")
            self.assertIn(f"{ones[0].listen},{ones[1].listen}", broker.command)

    def test_failure_to_start_shows_the_log(self):
        with Cluster(self.folder, self.folder) as cluster:
            with self.assertRaisesRegex(RuntimeError, "cannot start: broken"):
                cluster.namesrv("ns-1", "--broken")

    def test_stop_wants_status_zero(self):
        with Cluster(self.folder, self.folder) as cluster:
            with self.assertRaisesRegex(RuntimeError, "stopped with 3"):
                cluster.namesrv("ns-1", "--stubborn").stop()

    def test_the_end_wants_status_zero(self):
        with self.assertRaisesRegex(RuntimeError, "stopped with 3"):
            with Cluster(self.folder, self.folder) as cluster:
                cluster.namesrv("ns-1", "--stubborn")

    def test_a_server_that_ends_early_fails_the_test(self):
        with self.assertRaisesRegex(RuntimeError, "stopped with 66"):
            with Cluster(self.folder, self.folder) as cluster:
                end_early(cluster.namesrv("ns-1"))

    def test_who_kills_a_dead_server_is_told_so(self):
        with Cluster(self.folder, self.folder) as cluster:
            server = cluster.namesrv("ns-1")
            end_early(server)
            with self.assertRaisesRegex(RuntimeError, "had ended with 66"):
                server.kill()

    def test_a_sanitizers_report_fails_the_test_whatever_the_status(self):
        for end in ("stop", "kill", "finish"):
            with self.assertRaisesRegex(RuntimeError, "Write of size 4"):
                with Cluster(self.folder, self.folder) as cluster:
                    getattr(cluster.namesrv("ns-1", "--racy"), end)()

    def test_servers_die_with_the_test(self):
        script = ("import os, sys; from cluster import Cluster; "
                  f"server = Cluster({str(self.folder)!r}, {str(self.folder)!r}).namesrv('ns-1'); "
                  "print(server.pid, flush=True); os.kill(os.getpid(), 9)")
        done = subprocess.run([sys.executable, "-c", script], cwd=HERE, capture_output=True)
        pid = int(done.stdout)
        wait_until("the server is gone", lambda: not running(pid), 10)


def end_early(server):
    os.kill(server.pid, signal.SIGUSR1)
    wait_until("it has ended", lambda: not server.alive, 10)


def running(pid):
    """Whether the process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
