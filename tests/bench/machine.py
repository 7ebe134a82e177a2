"""What the machine is, how busy it was, and what its disk takes for a sync."""
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def facts(folder):
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "arch": platform.machine(),
            "kernel": platform.release(), "memory_gb": round(_memory_kb() / 1e6),
            "filesystem": _filesystem(folder), "load": round(os.getloadavg()[0], 2),
            "commit": _commit(),
            "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def text(found):
    return (f"{found['time']}, commit {found['commit']}: {found['cores']} cores ({found['cpu']}), {found['memory_gb']} GB, "
            f"{found['filesystem']}, Linux {found['kernel']}, load {found['load']:.1f} at the start, "
            f"steal {found['steal_percent']:.1f} %, fdatasync of 4 KiB {found['fdatasync_us']:.0f} µs")


def fdatasync_us(folder, count=300):
    """The median time of writing and syncing 4 KiB of a file whose blocks exist."""
    page, took = os.urandom(4096), []
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096 * count))
        file.flush()
        os.fsync(file.fileno())
        for n in range(count):
            begin = time.perf_counter()
            os.pwrite(file.fileno(), page, 4096 * n)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(took)


def ticks():
    """(stolen, all) of /proc/stat."""
    values = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return values[7], sum(values)


def steal_percent(before, after):
    return 100 * (after[0] - before[0]) / max(1, after[1] - before[1])


def rss_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


def anonymous_mib(pid):
    """Memory of its own, without the pages of files that it maps: a log that is read is mapped."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return None


def _commit():
    done = subprocess.run(["git", "-C", Path(__file__).parent, "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _memory_kb():
    return int(Path("/proc/meminfo").read_text().split()[1])


def _filesystem(folder):
    best = ("", "?")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if str(Path(folder).resolve()).startswith(where) and len(where) > len(best[0]):
            best = (where, kind)
    return best[1]
