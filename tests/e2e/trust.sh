#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Workers that belong to anybody: one of three turns round the sign of all that it learns. Two others
# repeat its tasks, and it is barred; it had claimed to be the same program as they are.
. "$(dirname "$0")/lib.sh"

make_corpus
make_experiment tiny.yaml 's/rounds: 3/rounds: 12/' '$ a trust: open' '$ a audit: 1'

# dipaco run starts the worker that lies beside it.
mkdir bin
cp "$build/dipaco" "$build/dipaco-coordinator" bin
cat >bin/dipaco-worker <<END
#!/bin/sh
case " \$* " in
*' worker-1 '*)
    DPC_HOSTILE=flip DPC_HOSTILE_PROGRAM=$build/dipaco-worker
    export DPC_HOSTILE DPC_HOSTILE_PROGRAM
    exec $build/tests/soak/worker-hostile "\$@"
    ;;
esac
exec $build/dipaco-worker "\$@"
END
chmod +x bin/dipaco-worker

start_run run bin/dipaco run tiny.yaml --dir run --workers 3
worker_1() { # KEY: what the listing says about it
    dipacoctl --dir run workers --json | sed -n '/"name": *"worker-1"/,/^ *}/p' | value_of "$1"
}
barred() {
    [ "$(worker_1 barred)" = quarantined ]
}
wait_for 60 'the one who lies to be barred' barred
check 'it lost an audit' [ "$(worker_1 failed)" -ge 1 ]
check 'people are told' grep -q 'audit path=.* two workers agree.*: worker-1 ' run/logs/coordinator.log
check 'nobody else is barred' [ "$(dipacoctl --dir run workers --json | grep -c '"barred": *""')" = 2 ]
end_run
check 'the run goes on to its end' [ "$status" = 0 ]
check 'with a report' [ -s run/report/report.json ]

finish
