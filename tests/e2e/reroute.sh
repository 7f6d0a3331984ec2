#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# New routes at evaluation: a run whose coordinator ends between traces and routes goes on there and
# reports what a run without a fault does; never is once; a comparison measures a distance.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment reroute.yaml
printf 'reroute: {every: [16, 32], steps: 20}\n' >>reroute.yaml

run_to_end calm dipaco run reroute.yaml --dir calm
[ "$status" = 0 ] || give_up "the undisturbed run ended with $status"
leases() { cat calm/logs/worker-*.log | grep -c "lease begins kind=$1"; }
check 'every path traced' [ "$(leases trace)" -ge 4 ]
check 'one network was trained' [ "$(leases reroute)" = 1 ]
check 'the report has never and two distances' [ "$(grep -c '"recomputed"' calm/report/report.json)" = 3 ]
check 'and lists them' grep -q '^| 32 tokens |' calm/report/report.md

# Never is once: the sums over all documents are the same.
once=$(awk -F'\t' 'NR > 1 && $1 != "dense" { s += $5 } END { printf "%.6g", s }' calm/report/documents.tsv)
never=$(awk -F'\t' '$1 == "0" { s += $5 } END { printf "%.6g", s }' calm/report/reroute.tsv)
check "never ($never) is once ($once)" [ "$never" = "$once" ]

start_run killed dipaco run reroute.yaml --dir killed
wait_for 120 'the phase trace' in_phase killed trace
kill -9 "$(pid_of killed coordinator)"
end_run
check 'the coordinator died in between' grep -q 'coordinator ended with signal 9' killed.err
[ "$status" = 0 ] || give_up "the run ended with $status"
check 'the versions are those of the undisturbed run' same_versions calm killed
check 'and the routes, too' cmp -s calm/report/reroute.tsv killed/report/reroute.tsv

# A fork of the finished run has labels where that had the documents' own paths.
run_to_end fork dipaco run reroute.yaml --from calm --dir fork
check 'a fork of the finished run finds the same routes' cmp -s calm/report/reroute.tsv fork/report/reroute.tsv

cat >compare.yaml <<'Y'
comparison: routes
base: reroute.yaml
rows:
  - {name: once}
  - {name: again, every: 16}
Y
run_to_end compare dipaco compare compare.yaml --dir compare
check 'a comparison measures a distance' [ "$status" = 0 ]
check 'of one run' [ "$(ls compare/runs | wc -l)" = 1 ]
check 'beside the model as it was' grep -q '^| again |' compare/compare.md
sed 's/every: 16/every: 48/' compare.yaml >other.yaml
run_to_end other dipaco compare other.yaml --dir other
check 'a distance that was not evaluated is refused' grep -q 'none of reroute.every' other.err

finish
