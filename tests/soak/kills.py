#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kill -9 by the hundred: the same experiment undisturbed and struck, and both make the same
versions, bit by bit. A seed draws each kill: whom, when and for how long it stays away. When is said
in progress (versions made) and a moment behind it, so that all kills fit into the run however fast
the machine is, and no kill waits for one that keeps the run from going on."""

import random
import signal
import time

import lab
import ledger

# Two heartbeats and a quarter are 2.25 s: who stays away longer loses its task to an idle worker.
AWAY_LONG_S = 6.0
LONG_SHARE = 0.35
SHORT_SHARE = 0.3
HANG_S = 120  # without a new version for that long, it hangs


class Kill:
    def __init__(self, rng, coordinator, progress):
        self.coordinator, self.progress = coordinator, progress
        self.moment_s = rng.random() * 0.5
        self.worker = rng.random()
        drawn = rng.random()
        self.moves = not coordinator and drawn < LONG_SHARE
        self.away_s = AWAY_LONG_S if self.moves else \
            rng.random() * 1.5 if drawn < LONG_SHARE + SHORT_SHARE else 0.0


def draw(options, total):
    rng = random.Random(options.seed)
    # Kills that wait for one who is away need room behind them, and the last versions come fast.
    last = int(total * 0.85)
    kills = [Kill(rng, i >= options.workers_killed, rng.randrange(1, last))
             for i in range(options.workers_killed + options.coordinators_killed)]
    return sorted(kills, key=lambda kill: kill.progress)


class Striker:
    """Carries the kills out and counts what came of them."""

    def __init__(self, run, kills):
        self.run, self.kills = run, kills
        self.worker_kills = self.coordinator_kills = 0
        self.lost = []  # (worker, path, round) that a kill took in the middle
        self.due = None
        self.progress, self.moved_at = -1, time.monotonic()

    def turn(self):
        """One look at everything; True when the run has ended and all kills are done."""
        now = time.monotonic()
        self.run.look_for_deaths()
        self.start_due(now)
        progress = self.run.progress()
        if progress != self.progress:
            self.progress, self.moved_at = progress, now
        if now - self.moved_at > HANG_S:
            raise lab.Failure(f"it hangs: no version for {HANG_S} s behind {progress}")
        self.strike(progress, now)
        if self.kills and self.run.finished():
            raise lab.Failure(f"the run ended before {len(self.kills)} of the kills: more --rounds")
        return self.run.finished()

    def start_due(self, now):
        for process in self.run.processes():
            if process.due is not None and now >= process.due:
                process.start()

    def strike(self, progress, now):
        if not self.kills or self.kills[0].progress > progress:
            return
        if self.due is None:
            self.due = now + self.kills[0].moment_s
        if now < self.due:
            return
        victim = self.victim(self.kills[0])
        # Whoever is away already cannot be killed: the kill waits.
        if not victim:
            return
        self.hit(victim, self.kills.pop(0), now)
        self.due = None

    def victim(self, kill):
        """A kill that shall move a path takes a worker in the middle of one."""
        if kill.coordinator:
            process = self.run.coordinator
            return process if process.popen else None
        alive = [w for w in self.run.workers if w.popen]
        if kill.moves:
            alive = [w for w in alive if (w.task() or ("",))[0] == "train"]
        if kill.moves and len([w for w in self.run.workers if w.popen]) < 2:
            return None
        return alive[int(kill.worker * len(alive))] if alive else None

    def hit(self, victim, kill, now):
        # Halted first: what its log says is then what it was doing.
        victim.signal(signal.SIGSTOP)
        task = None if kill.coordinator else victim.task()
        if not victim.kill():
            return
        victim.due = now + kill.away_s
        if kill.coordinator:
            self.coordinator_kills += 1
        else:
            self.worker_kills += 1
        if task and task[0] == "train":
            self.lost.append((victim.name, task[1], task[2]))


def count_moves(run, lost):
    """Kills after which the path's round was accepted from another worker, as the ledger says."""
    names = run.path_names()
    by = {(path, version - 1): entry["worker"]
          for (_, version), paths in ledger.index(run).items() for path, entry in paths.items()}
    return sum(by.get((names[path], round_)) not in (None, worker)
               for worker, path, round_ in set(lost))


def run_calm(options):
    calm = lab.Lab("calm", options.workers, options.rounds, options.steps)
    calm.start()
    lab.wait_for("the undisturbed run", calm.finished, options.deadline, [calm])
    return calm


def main():
    options = lab.arguments(
        __doc__, seed=(1, "draws all kills"), workers_killed=(200, "kills of workers"),
        coordinators_killed=(50, "kills of the coordinator"), moves=(20, "kills that must move a path"),
        workers=(3, "worker processes"), rounds=(100, "rounds of the experiment"),
        steps=(400, "inner steps a round"), deadline=(1500, "seconds after which a run hangs"))

    def proof(figures):
        figures.update(seed=options.seed, rounds=options.rounds, workers=options.workers)
        lab.make_corpus()
        begun = time.monotonic()
        calm = run_calm(options)
        figures["seconds_undisturbed"] = round(time.monotonic() - begun, 1)
        begun = time.monotonic()
        struck = lab.Lab("struck", options.workers, options.rounds, options.steps)
        struck.start()
        striker = Striker(struck, draw(options, calm.progress()))
        try:
            lab.wait_for("the struck run", striker.turn, options.deadline)
        finally:
            figures["seconds_struck"] = round(time.monotonic() - begun, 1)
            figures["worker_kills"] = striker.worker_kills
            figures["coordinator_kills"] = striker.coordinator_kills
        figures["in_a_lease"] = len(striker.lost)
        figures["moved"] = count_moves(struck, striker.lost)
        figures["versions_equal"] = ledger.same_versions(calm, struck)
        figures.update(ledger.check(struck))
        figures["alarms"] = struck.list("status")["alarms"]
        if figures["moved"] < options.moves:
            raise lab.Failure(f"only {figures['moved']} kills moved a path, {options.moves} must")

    lab.prove(proof, options)


if __name__ == "__main__":
    main()
