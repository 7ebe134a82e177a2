"""The official clients' programs as processes: install, start, read what they print."""
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from cluster import spawn, tail  # noqa: E402

LANGUAGES = ("node", "python", "go", "java")
OVER_TLS = ("go", "java")  # As these clients do unless told otherwise.
# Joins several IP addresses to a gRPC target that its own gRPC takes for a name: it gets one.
ONE_ADDRESS = ("node",)
# Does not get over a broker that died until that is back, see README.md.
NO_FAILOVER = ("go",)
FAILOVER = tuple(language for language in LANGUAGES if language not in NO_FAILOVER)


class Clients:
    """Starts programs of `languages` that talk to one access point."""

    def __init__(self, folder, access, access_tls, languages=LANGUAGES):
        self.folder, self.languages = Path(folder), languages
        self.access, self.access_tls = access, access_tls
        self.runs = []
        installed = subprocess.run([HERE / "install.sh", *languages], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout
        self.home = dict(line.split("=", 1) for line in installed.splitlines())

    def _command(self, language):
        home = self.home[language]
        return {
            "node": ["node", HERE / "node/main.js"],
            "python": [f"{home}/bin/python", HERE / "python/main.py"],
            "go": [f"{home}/skua-official-go"],
            "java": ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                     f"-Duser.home={self.folder}", "-cp", f"{home}/classes:{home}/lib/*", "Main"],
        }[language]

    def start(self, language, mode, topic, **options):
        """Options are the program's own: prefix=, count=, group=, expect=, … (see README.md)."""
        tls = language in OVER_TLS
        access = self.access_tls if tls else self.access
        if language in ONE_ADDRESS:
            access = access.split(";")[0]
        words = ["--endpoint", access, "--topic", topic]
        for name, value in options.items():
            words += [f"--{name}", value]
        # The clients write logs below HOME.
        environment = os.environ | {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1",
                                    "NODE_PATH": f"{self.home['node']}/node_modules"
                                    if language == "node" else ""}
        run = Run(language, mode, options, self.folder / f"{len(self.runs):02}-{language}-{mode}")
        run.launch(self._command(language) + [mode] + words + ["--tls"] * tls, environment)
        self.runs.append(run)
        return run

    def close(self):
        for run in self.runs:
            run.kill()

    def print_logs(self):
        for run in self.runs:
            print(f"\n=== {run.stderr.name}\n{tail(run.stderr)}", file=sys.stderr)


class Run:
    """One program at work: its process, and the lines that it has printed so far."""

    def __init__(self, language, mode, options, path):
        self.language, self.mode, self.options = language, mode, options
        self.stdout, self.stderr = path.with_suffix(".jsonl"), path.with_suffix(".log")

    def __str__(self):
        return f"{self.language} {self.mode}"

    def launch(self, command, environment):
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.process = spawn(command, stdout=out, stderr=err, env=environment)

    def lines(self):
        whole, _, _ = self.stdout.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def printed(self):
        return self.stdout.read_bytes().count(b"\n")

    def wait(self, timeout_s):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
