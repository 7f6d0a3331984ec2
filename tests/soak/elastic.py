#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Elastic mode under kills and stops: versions are a function of the ledger, whatever happened.
Workers are killed, told to stop (they then hand in what they have of a round) and stay away; the
coordinator is killed as well. Afterwards every version is computed again from ledger and
contributions and compared, weights sum to 1, no contribution is merged twice into a module, and what
is merged was told accepted to the worker that the ledger names."""

import collections
import json
import random
import signal
import subprocess
import time

import lab

ELASTIC = (("mode: strict", "mode: elastic"),
           ("rescale: sqrt,", "rescale: sqrt, quorum: 0.5, grace: 0.2, late: discount,"),
           ("warm_start:", "keep_rounds: 100000\nwarm_start:"))
AWAY_MOST_S = 3.0
STOP_S = 30
REPLAY_S = 600


def elastic(text):
    for old, new in ELASTIC:
        assert old in text
        text = text.replace(old, new)
    return text


class Chaos:
    """One fault after another, at moments that a seed draws, until the run has ended."""

    def __init__(self, run, options):
        self.run, self.options = run, options
        self.rng = random.Random(options.seed)
        self.counts = collections.Counter()
        self.next = self.draw()

    def draw(self):
        return time.monotonic() + self.rng.expovariate(1 / self.options.pause)

    def turn(self):
        now = time.monotonic()
        self.run.look_for_deaths()
        for process in self.run.processes():
            if process.due is not None and now >= process.due:
                process.may_end = False
                process.start()
        if now >= self.next:
            self.strike(now)
            self.next = self.draw()
        return self.run.finished()

    def strike(self, now):
        victim = self.rng.choice(self.run.processes())
        stop = victim is not self.run.coordinator and self.rng.random() < 0.5
        if not victim.popen or victim.popen.poll() is not None:
            return
        if stop:
            victim.may_end = True
            victim.signal(signal.SIGTERM)
            victim.popen.wait(timeout=STOP_S)
            victim.popen = None
        else:
            victim.kill()
        self.counts["stops" if stop else
                    "coordinator_kills" if victim is self.run.coordinator else "worker_kills"] += 1
        victim.due = now + self.rng.random() * (0.5 if victim is self.run.coordinator else AWAY_MOST_S)


def check_record(run, record, merged, steps, counts):
    key = (record["module"], record["version"])
    total = 0
    for entry in record["entries"]:
        total += entry["weight"]
        # The round that it was trained for, in this module.
        what = (record["module"], entry["path"], record["version"] - entry["late"])
        if what in merged:
            raise lab.Failure(f"{run.name}: path {what[1]} is merged twice in {key}")
        merged.add(what)
        counts["merged"] += 1
        counts["merged_late"] += entry["late"] > 0
        counts["merged_parts"] += entry["steps"] < steps
    if record["entries"] and abs(total - 1) > 1e-9:
        raise lab.Failure(f"{run.name}: the weights of {key} sum to {total}")


def check_accepted(run, records):
    """Nothing is merged that its worker was not told about, but for words that a kill swallowed."""
    told = collections.Counter()
    for worker in run.workers:
        told[worker.name] += len(worker.accepted())
    leases = collections.defaultdict(set)
    for record in records:
        for entry in record["entries"]:
            leases[entry["worker"]].add(entry["lease"])
    return {"acknowledged": sum(told.values()),
            "leases_merged": sum(len(found) for found in leases.values())}


def replay(run):
    done = subprocess.run(["dipacoctl", "--admin", run.admin, "replay", "--json"],
                          capture_output=True, text=True, timeout=REPLAY_S, check=False)
    if not done.stdout:
        raise lab.Failure(f"dipacoctl replay: {done.stderr.strip()}")
    verdicts = collections.Counter(row["verdict"] for row in json.loads(done.stdout)["replay"])
    # "given" are the versions that training began with.
    if done.returncode != 0 or set(verdicts) - {"ok", "given"}:
        raise lab.Failure(f"versions computed again: {dict(verdicts)}, exit {done.returncode}")
    return verdicts["ok"]


def main():
    options = lab.arguments(
        __doc__, seed=(1, "draws all faults"), workers=(4, "worker processes"),
        rounds=(60, "rounds of the experiment"), steps=(400, "inner steps a round"),
        pause=(0.7, "seconds between two faults, on average"),
        faults=(60, "faults that must have struck"), deadline=(1500, "seconds after which a run hangs"))

    def proof(figures):
        figures.update(seed=options.seed, rounds=options.rounds, workers=options.workers)
        lab.make_corpus()
        lab.EXPERIMENT = elastic(lab.EXPERIMENT)
        run = lab.Lab("elastic", options.workers, options.rounds, options.steps)
        run.start()
        chaos = Chaos(run, options)
        try:
            lab.wait_for("the run", chaos.turn, options.deadline)
        finally:
            figures.update(chaos.counts)
        records, merged, counts = run.ledger(), set(), collections.Counter()
        for record in records:
            check_record(run, record, merged, options.steps, counts)
        figures.update(counts)
        figures.update(check_accepted(run, records))
        figures["versions_computed_again"] = replay(run)
        if sum(chaos.counts.values()) < options.faults:
            raise lab.Failure(f"only {sum(chaos.counts.values())} faults: more --rounds")
        for name in ("merged_late", "merged_parts"):
            if not counts[name]:
                raise lab.Failure(f"{name} is 0: nothing was shown about it")

    lab.prove(proof, options)


if __name__ == "__main__":
    main()
