# SPDX-License-Identifier: Apache-2.0
"""A run that never was, sound and then spoilt in each way that the checker is there for."""

import copy
import os
import sys
import unittest

import lab
import ledger

PATHS = {"a": ["0", "1"], "b": ["0", "1"]}  # module -> the paths through it
ROUNDS = 2


class Worker:
    name = "worker-1"

    def __init__(self):
        self.done = [(path, round_, 10) for round_ in range(ROUNDS) for path in (0, 1)]

    def accepted(self):
        return self.done


class Run:
    """What the checker asks of a lab."""

    name = "run"

    def __init__(self):
        self.workers = [Worker()]
        self.hashes = {(m, v): f"{m}{v}" for m in PATHS for v in range(ROUNDS + 1)}
        self.records = [{"module": m, "version": v + 1, "entries": [
            {"path": p, "worker": "worker-1", "lease": 10 * v + int(p)} for p in PATHS[m]]}
            for v in range(ROUNDS) for m in PATHS]
        self.number()

    def number(self):
        for sequence, record in enumerate(self.records):
            record["sequence"] = sequence

    def ledger(self):
        return self.records

    def versions(self):
        return self.hashes

    def path_names(self):
        return ["0", "1"]

    def list(self, what):
        return {what: [{"module": m} for m in PATHS]}


class Checker(unittest.TestCase):
    def setUp(self):
        self.run_ = Run()

    def refuses(self, words):
        with self.assertRaisesRegex(lab.Failure, words):
            ledger.check(self.run_)

    def test_sound(self):
        self.assertEqual(ledger.check(self.run_),
                         {"acknowledged": 4, "ledger_entries": 4, "merged": 8})
        self.assertEqual(ledger.steps_merged(self.run_, 10), 40)

    def test_acknowledged_and_never_merged(self):
        self.run_.workers[0].done.append((1, ROUNDS, 10))
        self.refuses("does not know of it")

    def test_merged_from_another_worker(self):
        self.run_.records[0]["entries"][0]["worker"] = "worker-2"
        self.refuses("the ledger says worker-2")

    def test_two_leases_of_one_round(self):
        self.run_.records[0]["entries"][0]["lease"] = 99
        self.refuses("the ledger says worker-1, lease")

    def test_entry_left_out(self):
        del self.run_.records[1]
        self.refuses("has no entry 1")

    def test_entry_twice(self):
        self.run_.records.append(copy.deepcopy(self.run_.records[0]))
        self.run_.number()
        self.refuses("two entries")

    def test_path_merged_twice(self):
        entries = self.run_.records[0]["entries"]
        entries.append(copy.deepcopy(entries[0]))
        self.refuses("merged twice")

    def test_path_left_out_of_a_version(self):
        self.run_.workers[0].done = []
        del self.run_.records[-1]["entries"][0]
        self.refuses("lacks a path")

    def test_version_without_an_entry(self):
        self.run_.hashes["a", ROUNDS + 1] = "a3"
        self.refuses("versions without an entry")

    def test_versions_that_differ(self):
        other = Run()
        self.assertEqual(ledger.same_versions(self.run_, other), 6)
        other.hashes["b", 1] = "else"
        with self.assertRaisesRegex(lab.Failure, "1 of 6 versions differ"):
            ledger.same_versions(self.run_, other)

    def test_version_missing(self):
        other = Run()
        del other.hashes["b", 2]
        with self.assertRaisesRegex(lab.Failure, "different versions"):
            ledger.same_versions(self.run_, other)


class Logs(unittest.TestCase):
    def setUp(self):
        self.path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"soak-selftest-{os.getpid()}.log")
        self.worker = lab.Process("worker-1", [], self.path)

    def tearDown(self):
        os.remove(self.path)

    def write(self, text):
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(text)

    def test_a_line_counts_once_it_is_whole(self):
        self.write("lease begins kind=train path=3 rou")
        self.assertIsNone(self.worker.task())
        self.write("nd=7 steps=5\n")
        self.assertEqual(self.worker.task(), ("train", 3, 7))

    def test_a_restart_ends_what_was_in_hand(self):
        self.write("lease begins kind=train path=3 round=7 steps=5\nworker begins name=worker-1\n")
        self.assertIsNone(self.worker.task())

    def test_the_end_of_what_was_handed_in_is_not_that_of_the_next(self):
        self.write("lease begins kind=train path=3 round=7 steps=5\n"
                   "lease begins kind=train path=1 round=7 steps=5\n"
                   "lease ends verdict=accepted kind=train path=3 round=7 steps=5 loss=1\n")
        self.assertEqual(self.worker.task(), ("train", 1, 7))
        self.write("lease ends verdict=accepted kind=train path=1 round=7 steps=5 loss=1\n")
        self.assertIsNone(self.worker.task())

    def test_what_was_accepted(self):
        self.write("lease ends verdict=accepted kind=train path=3 round=7 steps=5 loss=1\n"
                   "lease ends verdict=superseded kind=train path=2 round=7 steps=5 loss=1\n")
        self.assertEqual(self.worker.accepted(), [(3, 7, 5)])
        self.assertIsNone(self.worker.task())


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
