#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two discriminative phases; a coordinator that ends between scoring and fitting the router goes on
# there, and the versions are those of a run that had no fault.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment phases.yaml 's/init: kmeans/init: kmeans, phases: 2, balance: capacity/' \
    's/steps: 20,/steps: 300,/'

run_to_end calm dipaco run phases.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"
scored() { cat "$1"/logs/worker-*.log | grep -c "lease begins kind=score"; }
check "every path scored in both phases" [ "$(scored calm)" -ge 24 ]

check 'the report has the three shardings' [ "$(grep -c '"agreement"' calm/report/report.json)" = 3 ]
check 'and draws them' grep -q '<svg' calm/report/routing.svg
check 'and lists them' grep -q '^| 2 | .* % |$' calm/report/report.md

# The job that fits the router opens the corpus, and a pipe that nobody writes to holds it there.
start_run killed dipaco run phases.yaml --dir killed
hold_in_training killed
mv corpus/corpus.tokens corpus/kept
mkfifo corpus/corpus.tokens
release_workers killed
wait_for 60 'the phase fit' in_phase killed fit
mv corpus/kept corpus/corpus.tokens
kill -9 "$(pid_of killed coordinator)"
end_run
check 'the coordinator died in between' grep -q 'coordinator ended with signal 9' killed.err
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'the versions are those of the undisturbed run' same_versions calm killed

run_to_end text dipaco generate killed --prompt 'ab' --tokens 4
check 'the last router routes a prompt' [ "$status" = 0 ]
run_to_end eval dipaco eval killed
check 'and the held-out documents' [ "$status" = 0 ]

# Of the four paths three are asked for each block of documents.
make_experiment some.yaml \
    's/init: kmeans/init: kmeans, phases: 2, balance: capacity, score_paths: 3/'
run_to_end some dipaco run some.yaml --dir some
check 'a run in which some paths score ends' [ "$status" = 0 ]
check "three quarters of the leases: $(scored some)" [ "$(scored some)" -ge 18 ]
check 'and no more' [ "$(scored some)" -lt "$(scored calm)" ]
run_to_end plan dipaco plan some.yaml
check 'as the plan says' grep -q '^scoring     2 times 3 of 4 paths a document' plan.out

make_experiment few.yaml 's/init: kmeans, documents_min: 2/init: kmeans, phases: 1, documents_min: 30/'
run_to_end few dipaco run few.yaml --dir few
check 'too few documents to score end the run' [ "$status" != 0 ]
check 'and it says what to do' grep -rq 'raise data.router' few.out few.err few/logs

finish
