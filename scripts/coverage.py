#!/usr/bin/env python3
"""Line coverage of the rooms that must not fail, after a run of the tests of a gcov build.

    coverage.py BUILD_DIR

Prints a table (as it stands in docs/coverage.md) and the lines that no test reached. Ends 1 if a
room is below 90 %, or if a line was not reached in a function that docs/coverage.md does not
explain. There are no exclusion marks: what is compiled counts.
"""
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOMS = ("libstore", "libroute", "services/broker/state", "api/rpc")
LEAST = 90.0
PAGE = Path("docs/coverage.md")
EXPLAINED = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|", re.M)


class Line:
    def __init__(self):
        self.count, self.function, self.branches = 0, "", defaultdict(int)


def read_counts(build, room):
    """file -> line number -> Line; a header's lines are added up over all that include it."""
    objects = [str(path.resolve()) for path in (build / room).rglob("*.gcda")]
    if not objects:
        raise SystemExit(f"no counts below {build / room}: run the tests of the coverage build first")
    documents = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", *objects],
                               check=True, capture_output=True, text=True).stdout
    files = defaultdict(lambda: defaultdict(Line))
    for document in filter(None, documents.splitlines()):
        for file in json.loads(document)["files"]:
            if not file["file"].startswith(room + "/"):
                continue
            for entry in file["lines"]:
                line = files[file["file"]][entry["line_number"]]
                line.count += entry["count"]
                line.function = entry.get("function_name", line.function)
                for k, branch in enumerate(entry["branches"]):
                    line.branches[k] += branch["count"]
    return files


def percent(reached, all_of_them):
    return 100.0 * reached / all_of_them


def row(room, files):
    lines = [line for file in files.values() for line in file.values()]
    branches = [count for line in lines for count in line.branches.values()]
    reached = sum(line.count > 0 for line in lines)
    covered = percent(reached, len(lines))
    print(f"| `{room}` | {len(lines)} | {len(lines) - reached} | {covered:.1f} % "
          f"| {percent(sum(map(bool, branches)), len(branches)):.1f} % |")
    return covered


def unreached(files):
    """(file, function, line number, text), by file."""
    for name in sorted(files):
        source = Path(name).read_text().splitlines()
        for number, line in sorted(files[name].items()):
            if not line.count:
                yield name, line.function, number, source[number - 1].strip()


def main():
    build = Path(sys.argv[1])
    counts = {room: read_counts(build, room) for room in ROOMS}
    print("| room | lines | not reached | covered | branches |\n|---|---|---|---|---|")
    covered = {room: row(room, files) for room, files in counts.items()}
    explained = set(EXPLAINED.findall(PAGE.read_text()))
    missing = [line for files in counts.values() for line in unreached(files)]
    unexplained = [line for line in missing if line[:2] not in explained]
    for name, function, number, text in missing:
        mark = " " if (name, function) in explained else "!"
        print(f"{mark} {name}:{number} {function}: {text}")
    low = [room for room in ROOMS if covered[room] < LEAST]
    for room in low:
        print(f"FAILED: {room} is below {LEAST:.0f} %")
    if unexplained:
        print(f"FAILED: {len(unexplained)} lines (!) are in functions that {PAGE} does not explain")
    print(", ".join(f"{room} {covered[room]:.1f} %" for room in ROOMS)
          + f" of lines; {len(missing)} lines not reached")
    return 1 if low or unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
