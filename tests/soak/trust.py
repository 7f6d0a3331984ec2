#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What hostile workers cost. One warm start and one sharding of the quickstart's corpus into 4x4
paths, then the same rounds again and again from there: with honest workers alone, and with one of
them hostile in each of the ways of hostile.c, under `trust: closed` and `trust: open`."""

import json
import os
import re
import shutil
import signal
import statistics
import time

import lab

EXPERIMENT = """experiment: trust
mode: strict
seed: 7
trust: {trust}
data: {{corpus: {corpus}, tokenizer: {{kind: bytes}}, test: 0.1, early_stop: 0.02, router: 0.04}}
model: {{dim: 64, heads: 4, ffn: 172, context: 128, tie_embeddings: true}}
levels:
  - {{name: lower, parts: [embedding, {{blocks: 1}}], modules: 4}}
  - {{name: upper, parts: [{{blocks: 1}}, head], modules: 4}}
routing: {{prefix: 32, init: kmeans, balance: capacity, capacity: 1.5, documents_min: 20}}
inner: {{optimizer: adamw, lr: 2e-3, warmup: 20, schedule: cosine, weight_decay: 0.1, batch: 8, steps: {steps}, clip: 1.0}}
outer: {{optimizer: nesterov, lr: 0.7, momentum: 0.9, weight: shard, rescale: sqrt, rounds: {rounds}}}
warm_start: {{steps: 150}}
baseline: {{dense: false}}
evaluation: {{windows: 4}}
"""
ATTACKS = ("flip", "scale", "noise", "stale", "echo", "idle")
COUNTS = ("refused", "clipped", "opposed", "copies", "idle", "stale", "failed")


class Trial(lab.Lab):
    """An experiment of its own that goes on where `base` stands, if any; worker 1 is hostile in the way
    `attack`."""

    def __init__(self, name, options, trust, attack=None, base=None):
        super().__init__(name, options.workers, options.rounds, options.steps)
        self.attack = attack
        with open(f"{name}/experiment.yaml", "w", encoding="utf-8") as out:
            out.write(EXPERIMENT.format(trust=trust, corpus=os.path.abspath(options.corpus),
                                        steps=options.steps, rounds=options.rounds))
        self.coordinator.argv += ["--log-level", "debug"]
        if base:
            shutil.copytree(f"{base.name}/home", f"{name}/home")
        if attack:
            worker = self.workers[0]
            worker.may_end = True  # it may be barred
            worker.argv = [os.path.join(options.build, "tests/soak/worker-hostile")] + worker.argv[1:]
            worker.environment = {"DPC_HOSTILE": attack, "DPC_HOSTILE_PROGRAM":
                                  os.path.join(options.build, "dipaco-worker")}

    def stop(self):
        self.coordinator.may_end = True
        self.coordinator.signal(signal.SIGTERM)
        self.coordinator.popen.wait()
        for worker in self.workers:
            worker.kill()

    def spread(self):
        """How far honest contributions to one module in one round lie apart, as the gates saw them."""
        pattern = re.compile(r"contribution judged module=(\S+) version=(\d+) .* norm=(\S+) "
                             r"cosine=(\S+) ")
        steps = {}
        for match in filter(None, map(pattern.search, self.coordinator.log.read())):
            steps.setdefault(match.group(1, 2), []).append(tuple(map(float, match.group(3, 4))))
        steps = [s for s in steps.values() if len(s) > 1]
        if not steps:
            return None
        ratios = [norm / statistics.median_low(n for n, _ in s) for s in steps for norm, _ in s]
        cosines = sorted(cosine for s in steps for _, cosine in s)
        return {"contributions": len(cosines), "norm_to_median_max": round(max(ratios), 3),
                "norm_to_median_min": round(min(ratios), 3), "cosine_min": cosines[0],
                "cosine_median": statistics.median(cosines), "cosine_max": cosines[-1]}

    def figures(self):
        with open(f"{self.name}/report/report.json", encoding="utf-8") as report:
            perplexity = json.load(report)["rows"][0]["ppl"]
        workers = {w["name"]: {c: w[c] for c in COUNTS} for w in self.list("workers")["workers"]}
        hostile = workers.get("worker-1", {})
        entries = [e for step in self.ledger() for e in step["entries"]]
        return {"perplexity": perplexity, "spread": None if self.attack else self.spread(),
                "worker_1": hostile,
                "others": {c: sum(w[c] for n, w in workers.items() if n != "worker-1")
                           for c in COUNTS},
                "worker_1_share": round(sum(e["worker"] == "worker-1" for e in entries) /
                                        len(entries), 3)}


def make_base(options):
    base = Trial("base", options, "closed")
    base.start()
    lab.wait_for("the rounds", lambda: base.phase() == "train", options.deadline, [base])
    base.stop()
    return base


def run(options, base, trust, attack):
    trial = Trial(f"{trust}-{attack or 'honest'}", options, trust, attack, base)
    begun = time.monotonic()
    trial.start()
    lab.wait_for(f"the end of {trial.name}", trial.finished, options.deadline, [trial])
    figures = {"trust": trust, "attack": attack, **trial.figures(),
               "seconds": round(time.monotonic() - begun, 1)}
    trial.discard() if not options.keep else trial.end()
    return figures


def prove(options, figures):
    base = make_base(options)
    figures["runs"] = runs = []
    for attack in (None,) + tuple(filter(None, options.attacks.split(","))):
        for trust in options.trusts.split(","):
            runs.append(run(options, base, trust, attack))
            print(json.dumps(runs[-1]), flush=True)
    honest = {r["trust"]: r["perplexity"] for r in runs if not r["attack"]}
    basis = honest.get("closed", honest.get("open"))
    for r in runs:
        r["worse_percent"] = round(100 * (r["perplexity"] / basis - 1), 2)
    for r in runs:
        if r["trust"] == "open" and not r["attack"]:
            if any(r[who][c] for who in ("worker_1", "others") for c in COUNTS):
                raise lab.Failure("an honest run was gated")
            if r["worse_percent"] > 0.2:
                raise lab.Failure(f"gates cost an honest run {r['worse_percent']} %")


def main():
    options = lab.arguments(__doc__, workers=(8, "workers, one of them hostile"),
                            rounds=(8, "rounds"), steps=(40, "inner steps of a round"),
                            attacks=(",".join(ATTACKS), "which, a comma between two; none: honest ones alone"),
                            trusts=("closed,open", "which"),
                            corpus=(".cache/corpus", "imported corpus of the quickstart"),
                            deadline=(900, "seconds that a run may take"))
    options.build = os.getcwd()
    options.corpus = os.path.abspath(options.corpus)
    lab.prove(lambda figures: prove(options, figures), options)


if __name__ == "__main__":
    main()
