# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts beside it. They are started in the build folder, where the programs lie.
set -u
unset OPENBLAS_CORETYPE DIPACO_ADMIN
build=$PWD
source=$(cd "$(dirname "$0")" && pwd)
PATH=$build:$PATH
failures=0
supervisor=
worker=

skip() {
    echo "skipped: $*"
    exit 77
}

work=$(mktemp -d "$build/e2e-XXXXXX") || exit 99
cleanup() {
    for process in $supervisor $worker; do
        kill -9 "$process" 2>/dev/null
        wait "$process" 2>/dev/null
    done
    if [ "${DIPACO_E2E_KEEP:-0}" = 1 ]; then
        echo "kept: $work"
    else
        rm -rf "$work"
    fi
}
trap cleanup EXIT
trap 'exit 99' HUP INT TERM
cd "$work" || exit 99

# --- Telling.

ok() {
    echo "ok: $*"
}

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# A failure that leaves nothing to go on with.
give_up() {
    fail "$*"
    for log in "$work"/*.out "$work"/*.err "$work"/*/logs/*.log; do
        [ -s "$log" ] || continue
        echo "--- $log"
        tail -n 5 "$log"
    done
    finish
}

finish() {
    [ "$failures" -eq 0 ] || exit 1
    exit 0
}

check() { # WORDS COMMAND...
    check_words=$1
    shift
    if "$@"; then ok "$check_words"; else fail "$check_words"; fi
}

# Whatever the byte was, it is another one now.
flip_bit() { # FILE OFFSET
    chmod u+w "$1"
    flipped=$(($(od -An -tu1 -j "$2" -N 1 "$1") ^ 4))
    printf "\\$(printf %o $flipped)" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# --- Corpus and experiment.

# Documents of four languages: each has letters and a rhythm of its own.
write_documents() {
    awk 'BEGIN {
        srand(4711)
        split("abdegilmnorst acehknpuwyz bfijloqsuvx dehjkmprtvyz", letters, " ")
        for (language = 1; language <= 4; language++)
            for (word = 0; word < 24; word++) {
                text = ""
                len = 2 + language + int(rand() * 3)
                for (i = 0; i < len; i++)
                    text = text substr(letters[language], 1 + int(rand() * length(letters[language])), 1)
                words[language, word] = text
            }
        for (doc = 0; doc < 320; doc++) {
            language = 1 + doc % 4
            word = int(rand() * 24)
            text = words[language, word]
            len = 60 + int(rand() * 120)
            while (length(text) < len) {
                word = (word * 5 + 1 + int(rand() * 4)) % 24
                text = text " " words[language, word]
            }
            printf "{\"text\": \"%s.\"}\n", text
        }
    }' >documents.jsonl
}

make_corpus() {
    write_documents
    dipaco data import documents.jsonl --out corpus >import.out 2>&1 || give_up "data import"
}

# The experiment as FILE, with sed expressions applied.
make_experiment() { # FILE [SED]...
    experiment_file=$1
    shift
    cp "$source/tiny.yaml" "$experiment_file"
    chmod u+w "$experiment_file"
    for expression in "$@"; do
        sed -i "$expression" "$experiment_file"
    done
}

# --- Runs.

# Runs and remembers output and exit code: $status, NAME.out, NAME.err.
run_to_end() { # NAME COMMAND...
    run_name=$1
    shift
    status=0
    "$@" >"$run_name.out" 2>"$run_name.err" || status=$?
}

# In the background; its process is $supervisor.
start_run() { # NAME COMMAND...
    run_name=$1
    shift
    "$@" >"$run_name.out" 2>"$run_name.err" &
    supervisor=$!
}

end_run() {
    status=0
    wait "$supervisor" 2>/dev/null || status=$?
    supervisor=
}

# Polls, since a shell has nothing else.
wait_for() { # SECONDS WORDS COMMAND...
    wait_turns=$(($1 * 20))
    wait_words=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        wait_turns=$((wait_turns - 1))
        if [ "$wait_turns" -le 0 ]; then
            give_up "waited in vain for: $wait_words"
        fi
        if [ -n "$supervisor" ] && ! kill -0 "$supervisor" 2>/dev/null; then
            give_up "the run ended before: $wait_words"
        fi
        sleep 0.05
    done
}

# --- Reading JSON as our programs print it: a key and a value on each line.

value_of() { # KEY <JSON: the first value
    sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}

pid_of() { # DIR NAME
    sed -n "/\"name\": *\"$2\"/,/}/p" "$1/run.json" | value_of pid
}

# Module, version and hash of the report, line by line.
versions_of() { # DIR
    awk '/"versions"/ { on = 1 } on' "$1/report/report.json" | grep -oE '"(module|version|hash)": *[^,}]*'
}

same_versions() { # DIR DIR
    versions_of "$1" >one.versions
    versions_of "$2" >two.versions
    [ -s one.versions ] && cmp -s one.versions two.versions
}

# The lease that began last is one that trains so many steps (some: any number), and has not ended,
# whatever became of the one before it meanwhile.
is_training() { # LOG [STEPS]
    awk -v steps="${2:-[0-9]*}" '
        / lease begins / { trains = $0 ~ "kind=train .* steps=" steps " "; task = $6 " " $7 " " }
        / lease (ends|given back) / && index($0, task) { trains = 0 }
        END { exit !trains }' "$1"
}

# The same of the worker in `home`, which has some of the steps behind it as its status says. (A spill
# says so, too, but where a disk is slow there are few.)
is_into_training() { # LOG STEPS
    is_training "$1" "$2" || return 1
    dipaco-worker --dir home --status --json >into.json 2>/dev/null
    [ "path=$(value_of path <into.json)" = "$(awk '/ lease begins / { path = $6 } END { print path }' "$1")" ] &&
        [ "$(value_of done <into.json)" -gt 0 ]
}

# Halts a worker in the middle of a train lease, as its log tells; halted, it stays there.
halted_in_lease() { # DIR NAME
    halted=$(pid_of "$1" "$2")
    [ "${halted:-0}" -gt 0 ] && kill -STOP "$halted" 2>/dev/null || return 1
    # The signal is sent before the process has stopped.
    until grep -q '^State:.*[Tt]' "/proc/$halted/status" 2>/dev/null; do
        [ -d "/proc/$halted" ] || return 1
    done
    if is_training "$1/logs/$2.log"; then
        return 0
    fi
    kill -CONT "$halted"
    return 1
}

runs() { # DIR NAME
    [ "$(pid_of "$1" "$2")" -gt 0 ]
}

# Halts both workers of a run in its train phase: however fast the machine, the run cannot end before
# release_workers.
hold_in_training() { # DIR
    wait_for 60 'the train phase' in_phase "$1" train
    # A fork begins in that phase; and a signal to process 0 would halt ourselves.
    for held in worker-1 worker-2; do
        wait_for 60 "$held" runs "$1" "$held"
    done
    for held in worker-1 worker-2; do
        kill -STOP "$(pid_of "$1" "$held")" || give_up "$1: $held is not there"
    done
    in_phase "$1" train || give_up "$1: training ended before the workers were halted"
}

release_workers() { # DIR
    for held in worker-1 worker-2; do
        kill -CONT "$(pid_of "$1" "$held")"
    done
}

in_phase() { # DIR PHASE
    [ "$(dipacoctl --dir "$1" status --json | value_of phase)" = "$2" ]
}

# --- One coordinator and one worker, started by hand: store/, home/.

# Its process is $supervisor.
start_coordinator() { # FILE [OPTION]...
    coordinator_file=$1
    shift
    admin="ipc://$work/admin.sock"
    mkdir -p store/workers
    rm -f coordinator.out # the shell's redirection may come after the first look into it
    [ -e home/worker.key ] || dipaco-worker --dir home --generate-key >/dev/null || give_up 'no key'
    cp home/worker.key.pub store/workers/w.pub
    dipaco-coordinator --dir store --experiment "$coordinator_file" --listen 'tcp://127.0.0.1:*' \
        --bulk 'tcp://127.0.0.1:*' --admin "$admin" "$@" >coordinator.out 2>&1 &
    supervisor=$!
    lives=0
    wait_for 30 'the coordinator' control_known
}

control() {
    sed -n 's/.* control=\([^ ]*\).*/\1/p' coordinator.out | head -n 1
}

control_known() {
    [ -n "$(control)" ]
}

# Its process is $worker, its log $log.
start_worker() { # [OPTION]...
    lives=$((lives + 1))
    log=worker-$lives.err
    dipaco-worker --dir home --connect "$(control)" --server-key store/coordinator.key.pub \
        --threads 1 --battery yes --name w "$@" >/dev/null 2>"$log" &
    worker=$!
}

end_worker() { # SIGNAL
    kill "-$1" "$worker"
    status=0
    wait "$worker" 2>/dev/null || status=$?
    worker=
}

finished() {
    [ "$(dipacoctl --admin "$admin" status --json | value_of phase)" = finished ]
}
