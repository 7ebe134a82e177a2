#!/usr/bin/env python3
"""Run the fuzz targets of a build, each for some time, and say what it came to.

    run.py BIN_DIR [--seconds 60] [--jobs 2] [--keep DIR] [TARGET...]
    run.py BIN_DIR --harvest N [--keep DIR] TARGET...

BIN_DIR is build/fuzz/bin. The small ones get a third of the time. New inputs are kept in DIR/TARGET (default build/fuzz/inputs), so that the
next run goes on from there; what breaks a target lies in DIR/found, with its log and the command that
replays it. Ends 0 only if nothing broke.

--harvest takes from DIR/TARGET the inputs that reach most of what tests/fuzz/corpus/TARGET does not,
N at most, smallest first, into that corpus.
"""
import argparse
import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# No input may take longer, no program more memory, no single allocation more than this.
LIMITS = ["-timeout=180", "-rss_limit_mb=2048", "-malloc_limit_mb=512"]
# Targets that hold a running server have threads which allocate at any time: a leak is looked for when the
# program ends, not after each input. Inputs beyond a few KiB only cost time.
SERVERS = ["-detect_leaks=0", "-max_len=8192"]
OPTIONS = {
    "state_apply": ["-max_len=4096"],
    "state_load": ["-max_len=8192"],
    "broker_scan": ["-max_len=4096"],
    "broker_receipt": ["-max_len=512"],
    "config": ["-max_len=2048"],
    "arguments": ["-max_len=1024"],
    "store": ["-max_len=2048"],
    "store_receive": ["-max_len=2048"],
    "rpc_broker": SERVERS,
    "rpc_namesrv": SERVERS,
    "reflection": SERVERS,
    "http": SERVERS,
    "client": SERVERS,
}
# Small and quick: in a third of the time they have tried more than the others in all of theirs.
SMALL = {"arguments", "broker_receipt", "config", "state_load"}
SANITIZERS = {"ASAN_OPTIONS": "quarantine_size_mb=64:allocator_may_return_null=0:handle_abort=1",
              "UBSAN_OPTIONS": "print_stacktrace=1"}


def command(args, name, *more):
    words = [str(args.bin / f"fuzz_{name}"), *LIMITS, *OPTIONS.get(name, [])]
    dictionary = HERE / f"{name}.dict"
    if dictionary.exists():
        words.append(f"-dict={dictionary}")
    return [*words, *more]


def environment():
    return {**os.environ, **SANITIZERS}


def number(pattern, text, last=True):
    found = re.findall(pattern, text)
    return int(found[-1 if last else 0]) if found else 0


def fuzz(args, name):
    """One target's row: a dict, with "broken" if it broke."""
    own, found = args.keep / name, args.keep / "found"
    own.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    log = found / f"{name}.log"
    before = set(found.glob(f"{name}-*"))
    seconds = args.seconds // 3 if name in SMALL else args.seconds
    words = command(args, name, f"-max_total_time={seconds}", "-print_final_stats=1",
                    f"-artifact_prefix={found}/{name}-", str(own), str(HERE / "corpus" / name))
    with open(log, "wb") as out:
        ended = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                               env=environment(), cwd=args.keep, check=False).returncode
    text = log.read_text(errors="replace")
    return {
        "target": name,
        "executions": number(r"stat::number_of_executed_units:\s*(\d+)", text),
        "per second": number(r"stat::average_exec_per_sec:\s*(\d+)", text),
        "edges": number(r"\bcov: (\d+)", text),
        "new": number(r"\bcov: (\d+)", text) - number(r"INITED cov: (\d+)", text),
        "MiB": number(r"stat::peak_rss_mb:\s*(\d+)", text),
        "broken": ended != 0,
        "inputs": sorted(set(found.glob(f"{name}-*")) - before),
        "log": log,
    }


def explain(args, row):
    print(f"\n{row['target']} broke; the end of {row['log']}:")
    lines = row["log"].read_text(errors="replace").splitlines()
    cause = next((i for i, line in enumerate(lines) if re.search(r"ERROR:|runtime error|assert", line)), 0)
    print("\n".join("    " + line[:160] for line in lines[max(cause - 1, 0):cause + 16]))
    for path in row["inputs"]:
        print(f"replay: {args.bin / ('fuzz_' + row['target'])} {path}")


def table(rows):
    columns = ["target", "executions", "per second", "edges", "new", "MiB"]
    print(f"\n{columns[0]:16}" + "".join(f"{c:>12}" for c in columns[1:]))
    for row in rows:
        print(f"{row['target']:16}" + "".join(f"{row[c]:>12}" for c in columns[1:]) +
              ("  BROKEN" if row["broken"] else ""), flush=True)


# --- harvest ---------------------------------------------------------------------------------


def reached(control, files):
    """What each file reaches, from libFuzzer's merge control file."""
    places, index = {}, -1
    for line in control.read_text().splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("STARTED", "FT", "COV"):
            index = int(words[1])
        if words and words[0] == "COV":
            places[files[index]] = {int(w) for w in words[2:]}
    return places


def harvest(args, name):
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        control = Path(scratch) / "control"
        (Path(scratch) / "out").mkdir()
        words = command(args, name, "-merge=1", f"-merge_control_file={control}", f"{scratch}/out",
                        str(corpus), str(args.keep / name))
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=environment(), cwd=scratch, check=True)
        files = [Path(p) for p in control.read_text().splitlines()[2:]]
        count = int(control.read_text().splitlines()[0])
        places = reached(control, files[:count])
    # Each place counts for the first file, in libFuzzer's order, that reaches it.
    chosen = sorted((p for p in places if corpus not in p.parents and places[p]),
                    key=lambda p: (-len(places[p]), p.stat().st_size))[:args.harvest]
    for path in chosen:
        data = path.read_bytes()
        shutil.copyfile(path, corpus / hashlib.sha1(data).hexdigest()[:12])
    print(f"{name}: {len(chosen)} inputs taken of {len(files[:count])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bin", type=lambda p: Path(p).resolve())
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=lambda p: Path(p).resolve())
    parser.add_argument("--harvest", type=int)
    args = parser.parse_intermixed_args()
    args.keep = args.keep or args.bin.parent / "inputs"
    there = sorted(p.name[5:] for p in args.bin.glob("fuzz_*") if p.is_file())
    unknown = set(args.targets) - set(there)
    if unknown or not there:
        sys.exit(f"no such target: {' '.join(sorted(unknown))}; there are: {' '.join(there)}")
    names = args.targets or there
    if args.harvest:
        for name in names:
            harvest(args, name)
        return
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda name: fuzz(args, name), names))
    table(rows)
    broken = [row for row in rows if row["broken"]]
    for row in broken:
        explain(args, row)
    print(f"\n{len(rows)} targets, {sum(row['executions'] for row in rows)} executions, "
          f"{len(broken)} broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
