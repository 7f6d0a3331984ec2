# SPDX-License-Identifier: Apache-2.0
"""What the long proofs share: one experiment on this machine as real processes that the proof starts,
kills and halts itself. `dipaco run` is left out on purpose: its supervisor starts again what dies
after pauses of its own, and here the seed says when.

Programs are taken from the folder in which a proof is started (the build folder)."""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

POLL_S = 0.01
CALL_S = 30  # a listing that takes longer than this hangs
DOCUMENTS_MAX = 1200

EXPERIMENT = """experiment: soak
mode: strict
seed: 7
data: {{corpus: ../corpus, tokenizer: {{kind: bytes}}, test: 0.1, early_stop: 0.02, router: 0.25}}
model: {{dim: 32, heads: 2, ffn: 64, context: 32, tie_embeddings: true}}
levels:
  - {{name: lower, parts: [embedding, {{blocks: 1}}], modules: 2}}
  - {{name: upper, parts: [{{blocks: 1}}, head], modules: 2}}
routing: {{prefix: 8, init: kmeans, documents_min: 2}}
inner: {{optimizer: adamw, lr: 3e-3, warmup: 10, schedule: cosine, weight_decay: 0.1, batch: 4, steps: {steps}, clip: 1.0}}
outer: {{optimizer: nesterov, lr: 0.7, momentum: 0.5, weight: shard, rescale: sqrt, rounds: {rounds}}}
transfer: {{upload: fp32, download: fp32}}
warm_start: {{steps: {warm}}}
"""
TOKENS_A_STEP = 4 * 32  # batch and context of the experiment above


class Failure(Exception):
    """What the proof was to show does not hold."""


def arguments(description, **numbers):
    """The command line: a number for each keyword (its default, its help), and what all proofs take."""
    parser = argparse.ArgumentParser(description=description)
    for name, (default, words) in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default,
                            help=f"{words} (default {default})")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    return parser.parse_args()


def prove(proof, options):
    """Runs proof(folder) in a folder of its own below the build tree and tells its figures."""
    build = os.getcwd()
    os.environ["PATH"] = build + ":" + os.environ["PATH"]
    os.environ.pop("OPENBLAS_CORETYPE", None)
    folder = tempfile.mkdtemp(prefix="soak-", dir=build)
    os.chdir(folder)
    failed, begun = None, time.monotonic()
    figures = {}
    try:
        proof(figures)
    except Failure as failure:
        failed = str(failure)
    finally:
        Lab.end_all()
        os.chdir(build)
        if failed or options.keep:
            print("kept: " + folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    figures.update(passed=failed is None, failure=failed, seconds=round(time.monotonic() - begun, 1))
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        with open(os.path.join(build, options.json), "w", encoding="utf-8") as out:
            out.write(text + "\n")
    if failed:
        sys.exit("FAILED: " + failed)


def wait_for(words, condition, seconds, labs=()):
    """Polls, watching that no process of the labs ended by itself; answers what the condition did."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        for lab in labs:
            lab.look_for_deaths()
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain for: {words}")
        time.sleep(POLL_S)


def make_corpus():
    """Real text that is always at hand: the paragraphs of this source tree."""
    source = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    with open("documents.jsonl", "w", encoding="utf-8") as out:
        for text in paragraphs(source)[:DOCUMENTS_MAX]:
            out.write(json.dumps({"text": text}) + "\n")
    subprocess.run(["dipaco", "data", "import", "documents.jsonl", "--out", "corpus"], check=True,
                   stdout=subprocess.DEVNULL, timeout=CALL_S)


def paragraphs(source):
    found = []
    for pattern in ("*.md", "*/README.md", "*/*.h", "*/*.c", "*/*/README.md"):
        for name in sorted(glob.glob(os.path.join(source, pattern))):
            with open(name, encoding="utf-8") as text:
                found += [p for p in text.read().split("\n\n") if 100 <= len(p) <= 2000]
    return found


class Log:
    """The lines of a file that grows, each seen once."""

    def __init__(self, path):
        self.path, self.offset, self.lines = path, 0, []

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8", errors="replace") as text:
                text.seek(self.offset)
                new = text.read()
            # A line is told once it is whole.
            whole = new.rfind("\n") + 1
            self.offset += len(new[:whole].encode("utf-8", errors="replace"))
            self.lines += new[:whole].splitlines()
        return self.lines


class Process:
    """A coordinator or a worker: its command line, its log, the process while it runs."""

    def __init__(self, name, argv, log, environment=None):
        self.name, self.argv, self.environment = name, argv, environment
        self.log, self.popen, self.due = Log(log), None, None
        self.may_end = False
        self.processor = None

    def start(self):
        self.due = None
        command = self.argv if self.processor is None else \
            ["taskset", "-c", str(self.processor)] + self.argv
        with open(self.log.path, "ab") as log:
            self.popen = subprocess.Popen(command, stderr=log, stdout=log,
                                          env={**os.environ, **(self.environment or {})})

    def signal(self, number):
        if self.popen:
            self.popen.send_signal(number)

    def kill(self):
        """kill -9; False when it was dead already."""
        if not self.popen or self.popen.poll() is not None:
            return False
        self.popen.kill()
        self.popen.wait()
        self.popen = None
        return True

    def task(self):
        """(kind, path, round) that it fetches for or computes as its log tells, or None."""
        pattern = re.compile(r"lease (begins|ends).* kind=(\w+) path=(\d+) round=(\d+)")
        ended = set()  # the one before may be handed in meanwhile
        for line in reversed(self.log.read()[-50:]):
            match = pattern.search(line)
            task = match and (match[2], int(match[3]), int(match[4]))
            if "worker begins" in line or (match and match[1] == "begins" and task in ended):
                return None
            if match and match[1] == "begins":
                return task
            ended.add(task)
        return None

    def accepted(self):
        """(path, round) of each training that it was told was accepted."""
        pattern = re.compile(r"verdict=accepted kind=train path=(\d+) round=(\d+) steps=(\d+)")
        return [tuple(map(int, m.groups())) for m in map(pattern.search, self.log.read()) if m]


def free_endpoints(count):
    """Ports that nobody listens on now; all are held until the last is found."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    endpoints = [f"tcp://127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for held in sockets:
        held.close()
    return endpoints


class Lab:
    """One experiment: its folder, coordinator and workers, each worker with a cache of its own."""

    labs = []

    def __init__(self, name, workers, rounds, steps, coordinator="dipaco-coordinator",
                 environment=None, warm_rounds=1):
        self.name = name
        for folder in (name, f"{name}/keys"):
            os.makedirs(folder)
        with open(f"{name}/experiment.yaml", "w", encoding="utf-8") as out:
            out.write(EXPERIMENT.format(rounds=rounds, steps=steps,
                                        warm=warm_rounds * steps))
        self.folds = set()
        self.folds_seen = 0
        self.admin = f"ipc://{name}/admin.sock"
        # Its own ports for good, so that whoever is started again finds and is found.
        self.control, self.bulk = free_endpoints(2)
        self.coordinator = Process("coordinator", [
            coordinator, "--dir", f"{name}/home/store", "--experiment", f"{name}/experiment.yaml",
            "--listen", self.control, "--bulk", self.bulk, "--admin", self.admin,
            "--key", f"{name}/coordinator.key", "--workers", f"{name}/keys",
            "--report", f"{name}/report"], f"{name}/coordinator.log", environment)
        self.workers = [self.make_worker(i + 1) for i in range(workers)]
        Lab.labs.append(self)

    def make_worker(self, number):
        worker = f"worker-{number}"
        key = f"{self.name}/keys/{worker}.key"
        subprocess.run(["dipaco-worker", "--dir", f"{self.name}/{worker}", "--generate-key", "--key",
                        key], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=CALL_S)
        return Process(worker, ["dipaco-worker", "--dir", f"{self.name}/{worker}", "--connect",
                                self.control, "--server-key", f"{self.name}/coordinator.key.pub", "--key",
                                key, "--name", worker, "--threads", "1",
                                "--battery", "yes"],
                       f"{self.name}/{worker}.log")

    def processes(self):
        return [self.coordinator] + self.workers

    def start(self):
        self.start_coordinator()
        self.start_workers()

    def has_key(self):
        """The coordinator makes it, and workers need it."""
        return os.path.exists(f"{self.name}/coordinator.key.pub")

    def start_workers(self):
        for worker in self.workers:
            worker.start()

    def start_coordinator(self):
        """Alone, and until it answers."""
        told = sum("ready control=" in line for line in self.coordinator.log.read())
        self.coordinator.start()
        wait_for("the coordinator", lambda: told < sum(
            "ready control=" in line for line in self.coordinator.log.read()), CALL_S, [self])

    def look_for_deaths(self):
        """A process that ended without being killed is a failure, but for workers that are done."""
        for process in self.processes():
            if process.popen and process.popen.poll() is not None and not process.may_end:
                code = process.popen.returncode
                if process is self.coordinator or code != 0:
                    last = "; ".join(process.log.read()[-3:])
                    raise Failure(f"{self.name}: {process.name} ended with {code}: {last}")

    def progress(self):
        """How many versions were made, as the coordinator's log tells; a restart may tell one again."""
        lines = self.coordinator.log.read()
        pattern = re.compile(r"outer step module=(\S+) version=(\d+)")
        self.folds.update(m.groups() for m in map(pattern.search, lines[self.folds_seen:]) if m)
        self.folds_seen = len(lines)
        return len(self.folds)

    def phase(self):
        """The phase that the log told last."""
        for line in reversed(self.coordinator.log.read()):
            match = re.search(r"(?:phase phase|ready .* phase)=(\w+)", line)
            if match:
                return match[1]
        return None

    def finished(self):
        return self.phase() == "finished"

    def end(self):
        for process in self.processes():
            process.signal(signal.SIGCONT)
            process.kill()

    def discard(self):
        """Ended and forgotten, with its folder."""
        self.end()
        Lab.labs.remove(self)
        shutil.rmtree(self.name)

    @staticmethod
    def end_all():
        for lab in Lab.labs:
            lab.end()

    # --- What the coordinator lists.

    def list(self, *words):
        done = subprocess.run(["dipacoctl", "--admin", self.admin, *words, "--json"],
                              capture_output=True, text=True, timeout=CALL_S, check=False)
        if done.returncode != 0:
            raise Failure(f"{self.name}: dipacoctl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def versions(self):
        """(module, version) -> hash of all versions ever made."""
        return {(m["module"], v["version"]): v["hash"] for m in self.list("modules")["modules"]
                for v in self.list("versions", m["module"])["versions"]}

    def ledger(self):
        return self.list("ledger")["ledger"]

    def path_names(self):
        return [path["path"] for path in self.list("paths")["paths"]]
