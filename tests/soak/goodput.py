#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Useful tokens (each merged once) per core-second, with one worker pinned to each core and none
spare: without faults, and with kills at two rates, in turns so that the machine's moods strike all
alike. Three things that are easily taken for one are told apart, each as a share of the workers'
time: alive (the process is there), leased (it holds work), participating (the time that went into
work that was accepted)."""

import os
import random
import re
import time

import lab
import ledger

RATES = (0, 4, 60)  # kills per worker-hour
ROUNDS = 10000  # no run reaches its end
SAMPLE_S = 0.25


def pin(run):
    for worker, core in zip(run.workers, sorted(os.sched_getaffinity(0))):
        worker.argv += ["--cpus", str(core)]


def merged_rounds(run):
    """(path, version) of what was merged; a path's round goes into several modules and counts once."""
    return {(path, version) for (_, version), paths in ledger.index(run).items() for path in paths}


def accepted_seconds(run):
    pattern = re.compile(r"verdict=accepted kind=train .* seconds=([0-9.]+)")
    return sum(float(match[1]) for worker in run.workers
               for match in map(pattern.search, worker.log.read()) if match)


class Window:
    """The time in which a run is measured: kills strike, and what workers are at is sampled."""

    def __init__(self, run, rate, rng):
        self.run, self.rate, self.rng = run, rate, rng
        self.kills = self.samples = self.alive = self.leased = 0
        self.next = {worker: self.draw() for worker in run.workers}

    def draw(self):
        return time.monotonic() + self.rng.expovariate(self.rate / 3600) if self.rate else None

    def measure(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run.look_for_deaths()
            self.sample()
            self.strike()
            time.sleep(SAMPLE_S)

    def sample(self):
        self.samples += len(self.run.workers)
        self.alive += sum(bool(w.popen) for w in self.run.workers)
        self.leased += sum(bool(w.popen and w.task()) for w in self.run.workers)

    def strike(self):
        for worker, due in self.next.items():
            if due is not None and time.monotonic() >= due:
                self.kills += worker.kill()
                worker.start()
                self.next[worker] = self.draw()


def measure(options, number, rate):
    run = lab.Lab(f"run-{number}-{rate}", len(os.sched_getaffinity(0)), ROUNDS, options.steps)
    pin(run)
    run.start()
    lab.wait_for("the train phase", lambda: run.phase() == "train", 300, [run])
    before, spent = merged_rounds(run), accepted_seconds(run)
    window = Window(run, rate, random.Random(f"{options.seed} {number} {rate}"))
    begun = time.monotonic()
    window.measure(options.minutes * 60)
    merged, core_seconds = merged_rounds(run) - before, len(run.workers) * (time.monotonic() - begun)
    tokens = len(merged) * options.steps * lab.TOKENS_A_STEP
    figures = {"kills_per_worker_hour": rate, "kills": window.kills, "tokens": tokens,
               "tokens_per_core_second": round(tokens / core_seconds, 1),
               "alive": round(window.alive / window.samples, 4),
               "leased": round(window.leased / window.samples, 4),
               "participating": round((accepted_seconds(run) - spent) / core_seconds, 4)}
    run.discard()
    return figures


def summarise(runs):
    mean = {rate: sum(r["tokens_per_core_second"] for r in runs if r["kills_per_worker_hour"] == rate)
            / sum(r["kills_per_worker_hour"] == rate for r in runs) for rate in RATES}
    return {str(rate): {"tokens_per_core_second": round(mean[rate], 1),
                        "of_fault_free": round(mean[rate] / mean[0], 4)} for rate in RATES}


def main():
    options = lab.arguments(
        __doc__, seed=(1, "draws the kills"), minutes=(20.0, "length of each run"),
        repeats=(2, "runs at each rate"), steps=(2000, "inner steps a round"))

    def proof(figures):
        lab.make_corpus()
        figures.update(seed=options.seed, minutes=options.minutes, runs=[])
        for number in range(options.repeats):
            for rate in RATES:
                figures["runs"].append(measure(options, number, rate))
        figures["goodput"] = summarise(figures["runs"])
        if any(run["tokens"] == 0 for run in figures["runs"]):
            raise lab.Failure("a run merged nothing: make it longer")

    lab.prove(proof, options)


if __name__ == "__main__":
    main()
