"""Compares what the programs sent with what the programs saw."""
from collections import Counter


class Report:
    """A row per program; what is not as it must be is a complaint."""

    def __init__(self):
        self.rows, self.complaints = [], []

    def complain(self, run, text):
        self.complaints.append(f"{run}: {text}")

    def sender(self, run, status, retries_allowed):
        """Every message answered, each on the first try unless servers were restarted."""
        lines = run.lines()
        retried = [line["i"] for line in lines if line["tries"] > 1]
        if status != 0 or len(lines) != run.options["count"]:
            self.complain(run, f"sent {len(lines)} of {run.options['count']}, status {status}")
        if len({line["id"] for line in lines}) != len(lines):
            self.complain(run, "message ids repeat")
        if retried and not retries_allowed:
            self.complain(run, f"an error reached the caller for messages {some(retried)}")
        self.rows.append([run.language, run.mode, len(lines), "", "", "", "", "", len(retried)])

    def reader(self, run, status, prefixes, count, duplicates_allowed):
        """Every message of every prefix seen, none altered; none twice and attempt 1 unless
        servers were restarted."""
        lines = run.lines()
        seen = Counter((line["prefix"], line["i"]) for line in lines)
        lost = [(p, i) for p in prefixes for i in range(count) if (p, i) not in seen]
        twice = [key for key, times in seen.items() if times > 1]
        again = [(line["prefix"], line["i"]) for line in lines if line["attempt"] != 1]
        altered = [(line["prefix"], line["i"], line["wrong"]) for line in lines if not line["ok"]]
        if lost:
            self.complain(run, f"lost {len(lost)}: {some(lost)}")
        elif status != 0:
            self.complain(run, f"status {status}")
        if altered:
            self.complain(run, f"altered {len(altered)}: {some(altered)}")
        if twice and not duplicates_allowed:
            self.complain(run, f"twice {len(twice)}: {some(twice)}")
        if again and not duplicates_allowed:
            self.complain(run, f"attempt not 1 for {len(again)}: {some(again)}")
        unknown = set(seen) - {(p, i) for p in prefixes for i in range(count)}
        if unknown:
            self.complain(run, f"never sent: {some(sorted(unknown))}")
        self.rows.append([run.language, run.mode, "", len(seen), len(lost),
                          len(lines) - len(seen), len(again), len(altered), ""])

    def leftover(self, run):
        """A group that has acknowledged everything is given nothing, also after its leases."""
        lines = run.lines()
        if lines:
            keys = [(line["prefix"], line["i"], line["attempt"]) for line in lines]
            self.complain(run, f"{run.options['group']} was given {len(lines)} again: {some(keys)}")

    def print(self, title):
        heads = ["language", "mode", "sent", "received", "lost", "duplicates", "attempt>1", "altered",
                 "send errors"]
        table = [heads] + [[str(cell) for cell in row] for row in self.rows]
        widths = [max(len(row[k]) for row in table) for k in range(len(heads))]
        print(f"\n{title}")
        for row in table:
            print("  " + "  ".join(cell.ljust(width) if k < 2 else cell.rjust(width)
                                   for k, (cell, width) in enumerate(zip(row, widths))))
        for complaint in self.complaints:
            print(f"  FAILED {complaint}")
        print(f"  {'FAILED' if self.complaints else 'passed'}")


def some(items, most=8):
    return ", ".join(map(str, items[:most])) + (" …" if len(items) > most else "")
