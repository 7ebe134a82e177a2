"""Skua's processes for tests: start, wait until ready, stop, kill, restart on the same ports.

    with Cluster(bin_dir, folder) as cluster:
        names = [cluster.namesrv("ns-1"), cluster.namesrv("ns-2")]
        broker = cluster.broker("broker-a")
        cluster.skua("topic", "create", "orders", "--queues", "4")
        broker.kill()
        broker.start()                  # same ports, same data

Every process listens on ports of the kernel's choice, writes NAME.log into the folder and dies
with the test. A server that ends before the test ends it, or whose log has a sanitizer's report,
fails the test. When the `with` block fails, the ends of all logs are printed. Start processes from
the main thread only: the kernel ties "die with the test" to the thread that started them.
"""
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

READY_S = 30
STOP_S = 30
PORT_S = 10
LOG_LINES = 40
REPORT_LINES = 150
REPORT = re.compile(r"WARNING: ThreadSanitizer|ERROR: \w+Sanitizer|: runtime error: ")
ANY_PORT = "127.0.0.1:0"

_libc = ctypes.CDLL(None)


def _die_with_parent():
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


def spawn(command, **options):
    """subprocess.Popen, but the child never outlives us."""
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                            preexec_fn=_die_with_parent, **options)


def wait_until(what, condition, timeout_s, interval_s=0.02):
    """The first true value of condition(); TimeoutError after timeout_s."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(interval_s)


def tail(path, lines=LOG_LINES):
    return "".join(Path(path).read_text(errors="replace").splitlines(True)[-lines:])


def report(path):
    """The log from its first sanitizer's report on; '' if there is none."""
    lines = Path(path).read_text(errors="replace").splitlines(True)
    first = next((k for k, line in enumerate(lines) if REPORT.search(line)), len(lines))
    return "".join(lines[first:first + REPORT_LINES])


class Server:
    """One server process. After start(), `ready` has the words of its ready line:
    {"listen": "127.0.0.1:4711", "listen-tls": …}."""

    def __init__(self, name, command, folder):
        self.name, self.command = name, [str(word) for word in command]
        self.log = Path(folder) / f"{name}.log"
        self.ready = {}
        self._process = None

    def start(self):
        """A pinned port may be, for a moment, some client's own end of a connection: then again."""
        until = time.monotonic() + PORT_S
        while True:
            try:
                return self._start_once()
            except RuntimeError as failure:
                taken = self.ready and "Address already in use" in str(failure)
                if not taken or time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _start_once(self):
        with open(self.log, "ab") as log:
            begin = log.tell()
            log.write(f"--- {' '.join(self.command)}\n".encode())
            self._process = spawn(self.command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(f"{self.name} is ready", lambda: self._find_ready(begin), READY_S)
        except Exception:
            self.discard()
            raise
        self._pin_ports()
        return self

    def _find_ready(self, begin):
        with open(self.log, "rb") as log:
            log.seek(begin)
            for line in log.read().decode(errors="replace").splitlines():
                if line.startswith("ready "):
                    self.ready = dict(word.split("=", 1) for word in line.split()[1:])
                    return True
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{tail(self.log)}")
        return False

    def _pin_ports(self):
        """The next start() takes the same ports."""
        for k, word in enumerate(self.command[:-1]):
            if word.startswith("--listen") and word[2:] in self.ready:
                self.command[k + 1] = self.ready[word[2:]]

    @property
    def alive(self):
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        return self._process.pid

    @property
    def listen(self):
        return self.ready["listen"]

    @property
    def listen_tls(self):
        return self.ready["listen-tls"]

    def stop(self):
        """SIGTERM; the server must end by itself, with 0."""
        self._end(self._process.terminate, 0, "stopped with")

    def kill(self):
        """kill -9"""
        self._end(self._process.kill, -signal.SIGKILL, "had ended with")

    def _end(self, how, wanted, complaint):
        how()  # Does nothing to one that has ended: its own status remains, and is not the wanted one.
        status = self._process.wait(STOP_S)
        self._process = None
        if status != wanted or report(self.log):
            raise RuntimeError(f"{self.name} {complaint} {status}:\n{report(self.log) or tail(self.log)}")

    def finish(self):
        """Stops it, unless the test has."""
        if self._process is not None:
            self.stop()

    def discard(self):
        """Without questions."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Cluster:
    """The processes of one test. `bin_dir` has the programs, `folder` gets logs and data; `prefix`
    goes before every server's command (taskset, for one)."""

    def __init__(self, bin_dir, folder, prefix=()):
        self.bin, self.folder, self.prefix = Path(bin_dir).resolve(), Path(folder), list(prefix)
        self.servers, self.namesrvs = [], []

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        """When all went well, every server must also end well: leaks show there."""
        try:
            for server in reversed(self.servers):
                if not error:
                    server.finish()
        except Exception:
            error = True
            raise
        finally:
            for server in self.servers:
                server.discard()
            if error:
                self.print_logs()

    def start(self, name, program, *options):
        """Any program that prints a ready line; its log is NAME.log."""
        server = Server(name, [*self.prefix, self.bin / program, *options], self.folder)
        self.servers.append(server)
        return server.start()

    def dev(self, *options):
        server = self.start("dev", "skua", "dev", "--listen", ANY_PORT, "--listen-tls", ANY_PORT,
                             "--data", self.folder / "dev", *options)
        self.namesrvs.append(server)
        return server

    def namesrv(self, name, *options):
        server = self.start(name, "skua-namesrv", "--listen", ANY_PORT, "--listen-tls", ANY_PORT,
                             "--data", self.folder / name, *options)
        self.namesrvs.append(server)
        return server

    def broker(self, name, *options):
        """A broker that registers with all name servers started so far."""
        return self.start(name, "skua-broker", "--name", name, "--cluster", "c",
                           "--listen", ANY_PORT, "--listen-tls", ANY_PORT,
                           "--namesrv", self.access(separator=","),
                           "--data", self.folder / name, *options)

    def access(self, kind="listen", separator=";"):
        """The access point as users type it: all name servers."""
        return separator.join(server.ready[kind] for server in self.namesrvs)

    def skua(self, *words, namesrv=None, timeout_s=30):
        """Runs the command line against one name server, or all; its stdout. RuntimeError on
        failure."""
        access = namesrv.listen if namesrv else self.access(separator=",")
        command = [self.bin / "skua", *words, "--namesrv", access]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=timeout_s, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"skua {' '.join(map(str, words))} ended with {done.returncode}: "
                               f"{done.stderr}{done.stdout}")
        return done.stdout

    def print_logs(self):
        for server in self.servers:
            print(f"\n=== {server.log.name} (last {LOG_LINES} lines)\n{tail(server.log)}",
                  report(server.log), file=sys.stderr)
