"""verify.py must see what is lost, altered, repeated or refused."""
import unittest

from verify import Report


class FakeRun:
    language, mode = "go", "receive"

    def __init__(self, lines, **options):
        self.printed, self.options = lines, options

    def __str__(self):
        return "go receive"

    def lines(self):
        return self.printed


def delivery(i, **changes):
    return {"prefix": "p", "i": i, "id": str(i), "attempt": 1, "ok": True, "wrong": []} | changes


def receipt(i, tries=1):
    return {"i": i, "id": f"id-{i}", "ms": 1.0, "tries": tries}


class ReaderTest(unittest.TestCase):
    def complaints(self, lines, status=0, duplicates_allowed=False):
        report = Report()
        report.reader(FakeRun(lines), status, ["p"], 2, duplicates_allowed)
        return report.complaints

    def test_all_is_well(self):
        self.assertEqual(self.complaints([delivery(1), delivery(0)]), [])

    def test_lost(self):
        self.assertIn("lost 1: ('p', 0)", self.complaints([delivery(1)])[0])

    def test_altered(self):
        lines = [delivery(0), delivery(1, ok=False, wrong=["body"])]
        self.assertIn("altered 1: ('p', 1, ['body'])", self.complaints(lines)[0])

    def test_twice(self):
        lines = [delivery(0), delivery(1), delivery(1, attempt=2)]
        self.assertEqual(len(self.complaints(lines)), 2)
        self.assertEqual(self.complaints(lines, duplicates_allowed=True), [])

    def test_attempt(self):
        self.assertEqual(len(self.complaints([delivery(0), delivery(1, attempt=2)])), 1)

    def test_never_sent(self):
        lines = [delivery(0), delivery(1), delivery(7)]
        self.assertIn("never sent: ('p', 7)", self.complaints(lines, duplicates_allowed=True)[0])

    def test_status(self):
        self.assertEqual(len(self.complaints([delivery(0), delivery(1)], status=1)), 1)


class SenderTest(unittest.TestCase):
    def complaints(self, lines, status=0, retries_allowed=False):
        report = Report()
        report.sender(FakeRun(lines, count=2), status, retries_allowed)
        return report.complaints

    def test_all_is_well(self):
        self.assertEqual(self.complaints([receipt(0), receipt(1)]), [])

    def test_incomplete(self):
        self.assertEqual(len(self.complaints([receipt(0)], status=1)), 1)

    def test_errors_reach_the_caller(self):
        lines = [receipt(0), receipt(1, tries=3)]
        self.assertEqual(len(self.complaints(lines)), 1)
        self.assertEqual(self.complaints(lines, retries_allowed=True), [])


class LeftoverTest(unittest.TestCase):
    def test_given_again(self):
        report = Report()
        report.leftover(FakeRun([], group="g"))
        self.assertEqual(report.complaints, [])
        report.leftover(FakeRun([delivery(0, attempt=2)], group="g"))
        self.assertEqual(len(report.complaints), 1)


if __name__ == "__main__":
    unittest.main()
