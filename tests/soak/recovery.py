#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a fault is felt. A coordinator that is away in the middle of a round: workers finish what
they hold, hand it in afterwards, and nothing is trained twice. A worker that dies while another one
is idle: how long until its path runs there."""

import random
import re
import statistics
import time

import lab
import ledger

PATHS = 4


def begun_and_trained(run):
    """Train leases that began, and steps that workers trained, whatever became of them."""
    ends = re.compile(r"lease ends verdict=\w+ kind=train path=\d+ round=\d+ steps=(\d+)")
    lines = [line for worker in run.workers for line in worker.log.read()]
    return (sum("lease begins kind=train" in line for line in lines),
            sum(int(match[1]) for match in map(ends.search, lines) if match))


def training(worker):
    task = worker.task()
    return task if task and task[0] == "train" and worker.popen else None


def prove_away(options, figures):
    run = lab.Lab("away", 2, options.rounds, options.steps)
    run.start()
    lab.wait_for("both workers in a train lease of the second round or later",
                 lambda: run.phase() == "train" and run.progress() > 2 * PATHS and
                 all(training(w) for w in run.workers), options.deadline, [run])
    held = {worker.name: training(worker)[1:] for worker in run.workers}
    run.coordinator.kill()
    made = run.progress()
    time.sleep(options.away)
    late = [w.name for w in run.workers if held[w.name] in [a[:2] for a in w.accepted()]]
    run.start_coordinator()
    lab.wait_for("the run's end", run.finished, options.deadline, [run])
    handed_in = sum(held[w.name] in [a[:2] for a in w.accepted()] for w in run.workers)
    begun, trained = begun_and_trained(run)
    merged = ledger.steps_merged(run, options.steps)
    figures["away"] = {"seconds": options.away, "versions_before": made, "held": len(held),
                       "handed_in_afterwards": handed_in - len(late), "leases_begun": begun,
                       "steps_trained": trained, "steps_merged": merged, **ledger.check(run)}
    run.end()
    if handed_in != len(held) or late:
        raise lab.Failure("a lease that was held when the coordinator went was not handed in later")
    if trained != merged or begun * options.steps != merged:
        raise lab.Failure(f"{trained} steps were trained in {begun} leases for {merged} merged ones")


def trainer_beside_an_idle_one(run):
    """The worker that trains, once the other is there with nothing in hand."""
    idle = [w for w in run.workers if w.popen and not w.task() and
            "session stands" in "".join(w.log.read()[-3:])]
    busy = [w for w in run.workers if training(w)]
    return busy[0] if idle and busy else None


def time_one(run, options, rng):
    """Milliseconds from the kill of a worker to its task's beginning elsewhere; None where the task was
    handed in within the moment before the kill."""
    victim = lab.wait_for("a worker that trains beside an idle one",
                          lambda: trainer_beside_an_idle_one(run), options.deadline, [run])
    time.sleep(rng.random() * 1.5)
    task = training(victim)
    victim.kill()
    begun = time.monotonic()
    other = next(w for w in run.workers if w is not victim)
    next_task = lab.wait_for("a task elsewhere", lambda: training(other), 30)
    took = (time.monotonic() - begun) * 1000
    victim.start()
    return took if next_task == task else None


def prove_takeover(options, figures):
    """In the warm start one path trains: of two workers one is idle."""
    run = lab.Lab("takeover", 2, 1, 4 * options.steps, warm_rounds=100)
    run.start()
    rng, took = random.Random(options.seed), []
    while len(took) < options.kills:
        one = time_one(run, options, rng)
        if one is not None:
            took.append(round(one))
    run.end()
    figures["takeover"] = {"kills": len(took), "ms": took, "median_ms": statistics.median(took),
                           "max_ms": max(took), "limit_ms": options.limit_ms}
    if max(took) > options.limit_ms:
        raise lab.Failure(f"a path waited {max(took)} ms for another worker")


def main():
    options = lab.arguments(
        __doc__, seed=(1, "draws the moments of the kills"), away=(60, "seconds without the coordinator"), rounds=(6, "rounds of that run"),
        steps=(2000, "inner steps a round"), kills=(10, "workers killed beside an idle one"),
        limit_ms=(2500, "two heartbeats and a tick of the coordinator"), deadline=(300, "seconds after which a run hangs"))

    def proof(figures):
        lab.make_corpus()
        prove_away(options, figures)
        prove_takeover(options, figures)

    lab.prove(proof, options)


if __name__ == "__main__":
    main()
