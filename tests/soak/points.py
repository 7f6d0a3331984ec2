#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A coordinator that ends by SIGKILL at every kill point once. An undisturbed run tells which points
there are (between which disk operations, in the middle of a write, before and after a commit) and how
often each is passed; then each gets a run of its own that ends there, at a passing that the seed
draws, is started again, and must make the same versions with nothing missing in the ledger."""

import os
import random
import signal
import sys

import lab
import ledger

PROGRAM = os.path.join(os.getcwd(), "tests", "soak", "coordinator-points")


def read_tally():
    with open("tally", encoding="utf-8") as lines:
        counted = [line.rstrip("\n").split(":", 1) for line in lines]
    return {point: int(count) for count, point in counted}


def run_calm(options):
    calm = lab.Lab("calm", options.workers, options.rounds, options.steps, PROGRAM,
                   {"DPC_POINT_TALLY": "tally"})
    calm.start()
    lab.wait_for("the undisturbed run", calm.finished, options.deadline, [calm])
    # What is listed later is asked of the coordinator: another one answers after this one's tally.
    calm.coordinator.signal(signal.SIGTERM)
    calm.coordinator.popen.wait(lab.CALL_S)
    calm.coordinator.environment = None
    calm.start_coordinator()
    return calm


class Struck:
    """One run that ends at one point and goes on."""

    def __init__(self, options, number, point, passing):
        self.killed = False
        self.run = lab.Lab(f"point-{number}", options.workers, options.rounds, options.steps, PROGRAM,
                           {"DPC_POINT_KILL": f"{passing}:{point}"})
        # Between two looks it may end as it shall; every other end is a failure below.
        self.run.coordinator.may_end = True
        self.run.coordinator.start()

    def turn(self):
        if self.run.workers[0].popen is None and self.run.has_key():
            self.run.start_workers()
        coordinator = self.run.coordinator
        code = coordinator.popen.poll()
        if code == -signal.SIGKILL and not self.killed:
            self.killed = True
            coordinator.may_end = False
            coordinator.environment = None
            coordinator.start()
        elif code is not None:
            raise lab.Failure(f"{self.run.name}: the coordinator ended with {code}")
        self.run.look_for_deaths()
        return self.run.finished()


def strike(options, calm, number, point, passing):
    """True when it ended there; False when the run passed the point less often than the calm one."""
    struck = Struck(options, number, point, passing)
    lab.wait_for(f"the run that ends at {passing}:{point}", struck.turn, options.deadline)
    try:
        if struck.killed:
            ledger.same_versions(calm, struck.run)
            ledger.check(struck.run)
    except lab.Failure as failure:
        raise lab.Failure(f"killed at {passing}:{point}: {failure}") from failure
    struck.run.discard()
    words = "killed at" if struck.killed else "did not reach"
    print(f"{words} {passing}:{point}", file=sys.stderr, flush=True)
    return struck.killed


def main():
    options = lab.arguments(
        __doc__, seed=(1, "draws the passings"), workers=(2, "worker processes"),
        rounds=(1, "rounds of the experiment"), steps=(10, "inner steps a round"),
        deadline=(60, "seconds after which a run hangs"))

    def proof(figures):
        rng = random.Random(options.seed)
        lab.make_corpus()
        calm = run_calm(options)
        tally = read_tally()
        figures.update(seed=options.seed, points=len(tally), passings=sum(tally.values()), kills=0,
                       first_passing_instead=[], not_reached=[])
        for number, (point, count) in enumerate(sorted(tally.items())):
            if strike(options, calm, number, point, rng.randint(1, count)):
                figures["kills"] += 1
            elif strike(options, calm, f"{number}-again", point, 1):
                figures["kills"] += 1
                figures["first_passing_instead"].append(point)
            else:
                figures["not_reached"].append(point)
        if figures["kills"] < 0.9 * len(tally):
            raise lab.Failure("too few points were reached")

    lab.prove(proof, options)


if __name__ == "__main__":
    main()
