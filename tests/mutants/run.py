#!/usr/bin/env python3
"""run.py - do the suites catch what they are there for?

Each *.mutants file beside this one holds small bugs of the kind that a tired programmer writes.
One after the other is put into a copy of the tree, built, and given to the suites that are meant
to catch it. A bug that all of them let pass is a hole in the tests.

    run.py              all of them, in build/mutants
    run.py NAME...      only these
    run.py --trust ...  without running the suites on the sound tree first
    run.py --list       their names, and what each is
    run.py --check      only whether each still finds its place in the sources (in seconds)

A mutant:

    mutant: its-name
    bug: one line that says what is wrong
    suites: [PRESET:]SUITE[/CASE] ...  tried in this order until one fails; fast ones first
    file: path/from/the/root.c
    find:
    text that stands exactly once in that file; how it is broken into lines plays no part
    replace:
    what stands there instead; may be empty
    end

file, find and replace may come several times. SUITE is a CTest name, CASE one of its test cases,
PRESET asan unless it is given.

Ends 0 only if the suites pass without a bug and every bug was caught."""
import argparse
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AREA = ROOT / "build" / "mutants"
HANGS_AFTER = 10  # times what the suite takes on the sound tree; that is a failure too
FAILED = re.compile(r":(?P<how>[FE]):(?P<case>[^:]*):(?P<test>[^:]*):\d+: ?(?P<text>.*)")
COUNTED = re.compile(r"Checks: (\d+), Failures")


class Trouble(Exception):
    """The mutants themselves are wrong, not the sources."""


# --- reading -----------------------------------------------------------------------------------


class Mutant:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.bug, self.suites, self.edits = "", [], []


def read_mutants(path):
    mutants, part, text = [], None, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        if part:  # inside find or replace
            if line in ("replace:", "end"):
                mutants[-1].edits[-1][part] = "\n".join(text)
                part, text = ("replace" if line == "replace:" else None), []
            else:
                text.append(line)
        elif line == "find:":
            part = "find"
        elif line and not line.startswith("#"):
            key, colon, value = line.partition(": ")
            if not colon or (key != "mutant" and not mutants):
                raise Trouble(f"{where}: not understood: {line}")
            if key == "mutant":
                mutants.append(Mutant(value, where))
            elif key == "bug":
                mutants[-1].bug = value
            elif key == "suites":
                mutants[-1].suites = value.split()
            elif key == "file":
                mutants[-1].edits.append({"file": value})
            else:
                raise Trouble(f"{where}: unknown key {key}")
    if part:
        raise Trouble(f"{path.name}: the last mutant has no end")
    return mutants


def all_mutants():
    found = [m for path in sorted(HERE.glob("*.mutants")) for m in read_mutants(path)]
    names = [m.name for m in found]
    for m in found:
        if names.count(m.name) > 1:
            raise Trouble(f"{m.where}: {m.name} is there twice")
        if not m.bug or not m.suites or not all("replace" in e for e in m.edits) or not m.edits:
            raise Trouble(f"{m.where}: {m.name} lacks bug, suites, file, find or replace")
    return found


# --- applying ----------------------------------------------------------------------------------


def apply(mutant, root):
    """The changed texts by path."""
    texts = {}
    for edit in mutant.edits:
        path = root / edit["file"]
        if not path.is_file():
            raise Trouble(f"{mutant.where}: {mutant.name}: no file {edit['file']}")
        text = texts.get(path) or path.read_text()
        words = r"\s+".join(re.escape(word) for word in edit["find"].split())
        places = list(re.finditer(words, text))
        if len(places) != 1:
            raise Trouble(f"{mutant.where}: {mutant.name}: its text stands {len(places)} times "
                          f"in {edit['file']}, not once")
        texts[path] = text[:places[0].start()] + edit["replace"].strip() + text[places[0].end():]
    return texts


def check(mutants):
    wrong = 0
    for m in mutants:
        try:
            for path, text in apply(m, ROOT).items():
                if text == path.read_text():
                    raise Trouble(f"{m.where}: {m.name} changes nothing")
        except Trouble as trouble:
            print(trouble)
            wrong += 1
    print(f"{len(mutants)} mutants, {wrong} of them do not find their place")
    return wrong == 0 and len(mutants) > 0


# --- building ----------------------------------------------------------------------------------


def copy_tree(to):
    """All files that git knows or would add, as they are now; what did not change keeps its time."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, check=True, capture_output=True).stdout
    names = {n for n in listed.decode().split("\0") if n and (ROOT / n).is_file()}
    for path in list(to.rglob("*")) if to.is_dir() else []:
        name = str(path.relative_to(to))
        if path.is_file() and not name.startswith("build/") and name not in names:
            path.unlink()
    for name in names:
        source, target = ROOT / name, to / name
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def parts_of(spec):
    """(preset, suite, case) of "[PRESET:]SUITE[/CASE]"."""
    preset, colon, rest = spec.rpartition(":")
    suite, _, case = rest.partition("/")
    return preset or "asan", suite, case


class Build:
    """One preset of the copied tree."""

    def __init__(self, root, preset):
        self.dir = root / "build" / preset
        # A bug need not be free of warnings.
        subprocess.run(["cmake", "--preset", preset, "-DSKUA_WERROR=OFF"], cwd=root, check=True,
                       stdout=subprocess.DEVNULL)
        self.list_tests()
        targets = subprocess.run(["ninja", "-C", str(self.dir), "-t", "targets", "all"],
                                 check=True, capture_output=True, text=True).stdout
        self.targets = set(re.findall(r"^([^\s:]+): phony", targets, re.M))

    def list_tests(self):
        shown = subprocess.run(["ctest", "--test-dir", str(self.dir), "--show-only=json-v1"],
                               check=True, capture_output=True).stdout
        self.tests = {t["name"]: t for t in json.loads(shown)["tests"]}

    def test(self, suite):
        if "command" not in self.tests[suite]:  # it is told only of programs that are there
            self.list_tests()
        return self.tests[suite]

    def make(self, suites):
        """None, or what the compiler said."""
        targets = {next((t for t in (f"test.{s}", s) if t in self.targets), "all")
                   for s in suites}
        run = subprocess.run(["ninja", "-C", str(self.dir), "-j2", *sorted(targets)],
                             capture_output=True, text=True)
        return None if run.returncode == 0 else run.stdout[-3000:] + run.stderr[-1000:]


class Tree:
    """A copy of the sources with its builds."""

    def __init__(self, root, specs):
        self.root = root
        copy_tree(root)
        self.builds = {p: Build(root, p) for p in sorted({parts_of(s)[0] for s in specs})}
        unknown = [s for s in specs if parts_of(s)[1] not in self.builds[parts_of(s)[0]].tests]
        if unknown:
            raise Trouble(f"no test is called {' '.join(sorted(unknown))}")

    def build(self, specs):
        """None, or what the compiler said."""
        for preset, build in self.builds.items():
            suites = {parts_of(s)[1] for s in specs if parts_of(s)[0] == preset}
            wrong = build.make(suites) if suites else None
            if wrong:
                return wrong
        return None

    def run(self, spec, patience):
        """None if it passed, else what failed; a suite is stopped at its first failure, and after
        `patience` seconds."""
        preset, suite, case = parts_of(spec)
        build = self.builds[preset]
        test = build.test(suite)
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        env = dict(os.environ, CK_LOG_FILE_NAME="-", CK_VERBOSITY="silent")
        env.update(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        if case:
            env["CK_RUN_CASE"] = case
        return watch(test["command"], env, properties.get("WORKING_DIRECTORY", str(build.dir)),
                     case, patience)


def watch(command, env, cwd, case, patience):
    master, slave = pty.openpty()  # a terminal: Check then writes line by line
    process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=slave,
                               stderr=slave, start_new_session=True)
    os.close(slave)
    os.set_blocking(master, False)
    deadline, seen, failure = time.monotonic() + patience, b"", None
    while failure is None:
        ended = process.poll() is not None
        try:
            seen += os.read(master, 65536)
            hit = FAILED.search(seen[:seen.rfind(b"\n") + 1].decode(errors="replace"))
            if hit:
                failure = f"{hit['test']} ({hit['text'].strip()[:70]})"
            continue
        except (BlockingIOError, OSError):
            pass
        if ended:
            break
        if time.monotonic() > deadline:
            failure = f"nothing: it hangs ({patience:.0f} s)"
        time.sleep(0.01)
    if failure:
        process.terminate()  # Check ends its children then
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    os.close(master)
    if failure is None and process.returncode != 0:
        lines = [line.strip() for line in seen.decode(errors="replace").splitlines()
                 if line.strip() and not line.startswith("again:")]
        failure = f"exit {process.returncode} ({lines[-1][:70] if lines else ''})"
    counted = COUNTED.search(seen.decode(errors="replace"))
    if failure is None and case and not (counted and int(counted[1])):
        raise Trouble(f"{command[0]}: no test case is called {case}")
    return failure


# --- the whole ---------------------------------------------------------------------------------


def baseline(tree, mutants, took):
    """The suites must pass while there is no bug; how long each takes."""
    specs = sorted({s for m in mutants for s in m.suites})
    wrong = tree.build(specs)
    if wrong:
        raise Trouble(f"the tree does not compile:\n{wrong}")

    def one(spec):
        began = time.monotonic()
        failure = tree.run(spec, 600)
        took[spec] = time.monotonic() - began
        return failure

    with ThreadPoolExecutor(2) as pool:
        failures = list(pool.map(one, specs))
    for spec, failure in zip(specs, failures):
        print(f"  {spec:<36} {took[spec]:6.1f} s  {'FAILED: ' + failure if failure else 'passes'}")
    return not any(failures)


def try_mutant(tree, mutant, took):
    """(verdict, is it caught)."""
    texts = apply(mutant, tree.root)
    before = {path: path.read_text() for path in texts}
    try:
        for path, text in texts.items():
            path.write_text(text)
        for spec in mutant.suites:
            wrong = tree.build([spec])
            if wrong:
                return f"DOES NOT COMPILE\n{wrong}", False
            failure = tree.run(spec, max(30, HANGS_AFTER * took.get(spec, 60)))
            if failure:
                return f"{spec}: {failure}", True
        return f"SURVIVED {' '.join(mutant.suites)}", False
    finally:
        for path, text in before.items():
            path.write_text(text)


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME")
    arguments.add_argument("--list", action="store_true")
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--trust", action="store_true")
    options = arguments.parse_args()
    mutants = all_mutants()
    unknown = set(options.names) - {m.name for m in mutants}
    if unknown:
        raise Trouble(f"no mutant is called {' '.join(sorted(unknown))}")
    if options.names:
        mutants = [m for m in mutants if m.name in options.names]
    if options.list:
        for m in mutants:
            print(f"{m.name:<32} {m.bug}")
        return True
    if options.check:
        return check(mutants)

    began = time.monotonic()
    tree = Tree(AREA / "tree", {s for m in mutants for s in m.suites})
    took = {}
    if not options.trust:
        print("without a bug:", flush=True)
        if not baseline(tree, mutants, took):
            print("the suites do not pass without a bug: nothing to prove")
            return False
        print("\nwith one:", flush=True)
    survivors = []
    for m in mutants:
        start = time.monotonic()
        verdict, caught = try_mutant(tree, m, took)
        print(f"  {m.name:<32} {time.monotonic() - start:6.1f} s  {verdict}", flush=True)
        if not caught:
            survivors.append(m.name)
    if survivors:
        print("not caught:", " ".join(survivors))
    print(f"{len(mutants)} seeded bugs, {len(mutants) - len(survivors)} caught, "
          f"{time.monotonic() - began:.0f} s")
    return not survivors


if __name__ == "__main__":
    try:
        sys.exit(0 if main() else 1)
    except Trouble as trouble:
        sys.exit(f"run.py: {trouble}")
