# SPDX-License-Identifier: Apache-2.0
"""The checker of a run that has ended: is every contribution that a worker was told was accepted in
the ledger, each once, and does every version have its entry with all paths of its module?"""

from lab import Failure


def check(lab):
    """Answers the counts; a Failure names what is missing."""
    entries = index(lab)
    names = lab.path_names()
    through = modules_through(lab.list("modules")["modules"], entries)
    acknowledged = 0
    for worker in lab.workers:
        for path, round_, _ in worker.accepted():
            acknowledged += 1
            check_acknowledged(lab, entries, names[path], round_, worker.name)
    check_versions(lab, entries, through)
    merged = sum(len(paths) for paths in entries.values())
    return {"acknowledged": acknowledged, "ledger_entries": len(entries), "merged": merged}


def index(lab):
    """(module, version) -> {path: entry}; nothing stands there twice, and no sequence is left out."""
    entries = {}
    for sequence, record in enumerate(lab.ledger()):
        key = (record["module"], record["version"])
        paths = {entry["path"]: entry for entry in record["entries"]}
        if record["sequence"] != sequence:
            raise Failure(f"{lab.name}: the ledger has no entry {sequence}")
        if key in entries:
            raise Failure(f"{lab.name}: the ledger has two entries for {key}")
        if len(paths) != len(record["entries"]):
            raise Failure(f"{lab.name}: a path is merged twice in {key}")
        entries[key] = paths
    return entries


def check_acknowledged(lab, entries, path, round_, worker):
    """A path's round goes into one version of each of its modules, by the same lease."""
    found = [paths[path] for (_, version), paths in entries.items()
             if version == round_ + 1 and path in paths]
    if not found:
        raise Failure(f"{lab.name}: {worker} was told that path {path} round {round_} was accepted, "
                      "and the ledger does not know of it")
    for entry in found:
        if entry["worker"] != worker or entry["lease"] != found[0]["lease"]:
            raise Failure(f"{lab.name}: path {path} round {round_} was accepted from {worker}, and "
                          f"the ledger says {entry['worker']}, lease {entry['lease']}")


def modules_through(modules, entries):
    """module -> the paths that it must have in each of its entries: those of its first one."""
    return {m["module"]: set(entries.get((m["module"], 1), {})) for m in modules}


def check_versions(lab, entries, through):
    made = {key for key in lab.versions() if key[1] > 0}
    # A routed module begins with version 0 as a copy of the dense one; each later one was merged.
    if made != set(entries):
        raise Failure(f"{lab.name}: versions without an entry or entries without a version: "
                      f"{sorted(made ^ set(entries))[:4]}")
    for (module, version), paths in entries.items():
        if set(paths) != through[module]:
            raise Failure(f"{lab.name}: {module} version {version} lacks a path")


def steps_merged(lab, steps):
    """Inner steps that went into versions: each (path, round) once."""
    rounds = {(path, version) for (_, version), paths in index(lab).items() for path in paths}
    return len(rounds) * steps


def same_versions(calm, struck):
    """Bit by bit; answers how many were compared."""
    one, other = calm.versions(), struck.versions()
    if set(one) != set(other):
        raise Failure("the two runs made different versions: "
                      f"{sorted(set(one) ^ set(other))[:4]}")
    differ = sorted(key for key in one if one[key] != other[key])
    if differ:
        raise Failure(f"{len(differ)} of {len(one)} versions differ, the first {differ[0]}")
    return len(one)
