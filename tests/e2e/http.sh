#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The coordinator's pages while a run trains: what they say, what they refuse, and that nobody who
# says nothing keeps the run waiting.
. "$(dirname "$0")/lib.sh"
docs=$source/../../docs examples=$source/../../systemd/examples

command -v curl >/dev/null 2>&1 || skip 'there is no curl'
promtool=$(command -v promtool) || echo 'no promtool here: what Prometheus thinks is not asked'

make_corpus
make_experiment tiny.yaml 's/steps: 20,/steps: 400,/'

# --- Addresses.

refused_address() { # ADDRESS WORDS
    run_to_end address dipaco-coordinator --dir unused --experiment tiny.yaml --http "$1"
    check "--http $1: exit code 2" [ "$status" = 2 ]
    check "--http $1: why" grep -qF "$2" address.err
}
refused_address 0.0.0.0:7602 'ssh -L or a reverse proxy'
refused_address '[::]:7602' 'ssh -L or a reverse proxy'
refused_address 7602 'ADDRESS:PORT'
check 'nothing was made' [ ! -e unused ]

# --- A run that trains.

pages() {
    sed -n 's/.* url=\(.*\)$/\1/p' coordinator.out | head -n 1
}

fetch() { # PAGE [OPTION]...
    page=$1
    shift
    curl -sS --max-time 20 "$@" "$(pages)$page"
}

code_of() { # PAGE [OPTION]...
    fetch "$@" -o answer.body -D answer.head -w '%{http_code}'
}

says() { # PAGE TEXT
    fetch "$1" >said.body && grep -qF "$2" said.body
}

start_coordinator tiny.yaml --http 127.0.0.1:0
# Preparing, which comes first, needs none.
wait_for 20 'what is missing before the first worker' says '' 'no worker is connected'
start_worker --name '<script>"w"</script>'
wait_for 60 'the train phase' says metrics 'dipaco_phase{phase="train"} 1'
wait_for 60 'an outer step' sh -c "curl -s '$(pages)metrics' | grep -q 'outer_steps_total{level=\"lower\"} [1-9]'"
# Halted, so that the run is still under way when all has been asked.
kill -STOP "$worker"

check 'metrics: 200' [ "$(code_of metrics)" = 200 ]
check 'in the format that Prometheus asks for' \
    grep -qi '^content-type: text/plain; version=0.0.4; charset=utf-8' answer.head
cp answer.body metrics.txt
check 'the worker is escaped' grep -qF 'dipaco_worker_connected{worker="<script>\"w\"</script>",key=' metrics.txt
check 'status.json: 200' [ "$(code_of status.json)" = 200 ]
check 'it names the experiment' [ "$(value_of experiment <answer.body)" = tiny ]
dipacoctl --admin "$admin" status --json | grep -o '^ *"[a-z_]*":' >admin.keys
grep -o '^ *"[a-z_]*":' answer.body >http.keys
check 'and what dipacoctl prints' cmp -s admin.keys http.keys
check 'the page: 200' [ "$(code_of '')" = 200 ]
check 'the phase' grep -qE 'Phase <b>train</b>' answer.body
check 'the curve' grep -q '<svg ' answer.body
check 'the worker, escaped' grep -qF '&lt;script&gt;&quot;w&quot;&lt;/script&gt;' answer.body
check 'no script' sh -c '! grep -qi "<script" answer.body'
check 'nothing from elsewhere' sh -c '! grep -E "(src|href)=" answer.body | grep -q "//"'
check 'and the browser is told so' grep -qi "^content-security-policy: default-src 'none'" answer.head

if [ -n "$promtool" ]; then
    check 'promtool finds nothing wrong with the metrics' "$promtool" check metrics <metrics.txt
    cp "$examples"/prometheus*.yml .
    check 'nor with the alert rules' "$promtool" check rules prometheus-alerts.yml
    check 'nor with the configuration' "$promtool" check config prometheus.yml
    cp "$source/alerts.yml" .
    check 'each alert fires in its case' "$promtool" test rules alerts.yml
fi

# --- Every metric is explained, and every one that is explained or alerted on is there.

undocumented=$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' metrics.txt | while read -r name; do
    grep -qF "\`$name\`" "$docs/monitoring.md" || echo "$name"
done)
check "monitoring.md explains all ($undocumented)" [ -z "$undocumented" ]
unknown=$(grep -ohE 'dipaco_[a-z_]+|process_[a-z_]+' "$docs/monitoring.md" "$examples"/prometheus*.yml |
    sort -u | while read -r name; do grep -qF "$name" "$build/dipaco-coordinator" || echo "$name"; done)
check "and nothing else ($unknown)" [ -z "$unknown" ]
undocumented=$(sed -n 's/^ *- alert: //p' "$examples/prometheus-alerts.yml" | while read -r name; do
    grep -qF "\`$name\`" "$docs/monitoring.md" || echo "$name"
done)
check "it names all alerts ($undocumented)" [ -z "$undocumented" ]
untried=$(sed -n 's/^ *- alert: //p' "$examples/prometheus-alerts.yml" | while read -r name; do
    grep -qF "\"$name\"" "$source/alerts.yml" || echo "$name"
done)
check "and each has its case in alerts.yml ($untried)" [ -z "$untried" ]

# --- What is refused.

check 'another host: 403' [ "$(code_of metrics -H 'Host: evil.example')" = 403 ]
check 'POST: 405' [ "$(code_of metrics -X POST -d a=b)" = 405 ]
check 'with what is allowed' grep -qi '^allow: GET, HEAD' answer.head
check 'another page: 404' [ "$(code_of nothing)" = 404 ]
check 'HEAD: 200' [ "$(code_of metrics --head)" = 200 ]

port=$(pages | sed 's/.*:\([0-9]*\)\/$/\1/')
run_to_end busy dipaco-coordinator --dir second --experiment tiny.yaml --listen 'tcp://127.0.0.1:*' \
    --bulk 'tcp://127.0.0.1:*' --admin "ipc://$work/second.sock" --http "127.0.0.1:$port"
check 'a port in use: exit code 4' [ "$status" = 4 ]
check 'and it is named' grep -q "127.0.0.1:$port.* in use" busy.err

# --- Clients that connect and say nothing: as many as there are places but one.

# Connections that stand at the port of the pages, as the kernel lists them: state 01.
established() {
    awk -v port="$(printf ':%04X$' "$port")" '$2 ~ port && $4 == "01"' /proc/net/tcp | wc -l
}

fifteen_stand() {
    [ "$(established)" -ge 15 ]
}

mkfifo silence
silent=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    curl -s "telnet://127.0.0.1:$port" <silence >/dev/null &
    silent="$silent $!"
done
exec 9>silence
wait_for 8 'fifteen silent clients' fifteen_stand
check 'training goes on all the same' says metrics 'dipaco_phase{phase="train"} 1'
kill -CONT "$worker"
wait_for 60 'the end of the run' finished
check 'the run ended, whoever was silent' finished
check 'and there are still pages' says metrics 'dipaco_phase{phase="finished"} 1'
exec 9>&-
for process in $silent; do
    kill "$process" 2>/dev/null
    wait "$process" 2>/dev/null
done

# --- Afterwards, and again from the store.

check 'all paths are done' says metrics 'dipaco_paths{state="done"} 5'
fetch '' >before.html
end_worker TERM
kill -TERM "$supervisor"
end_run
check 'SIGTERM ends it cleanly' [ "$status" = 0 ]
start_coordinator tiny.yaml --http "127.0.0.1:$port"
fetch '' >after.html
sed -n '/<svg/,/<\/svg>/p' before.html >before.svg
sed -n '/<svg/,/<\/svg>/p' after.html >after.svg
check 'a restarted coordinator draws the same curve' sh -c '[ -s after.svg ] && cmp -s before.svg after.svg'

finish
