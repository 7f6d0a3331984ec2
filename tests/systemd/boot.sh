#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units as they run: a Debian of its own is booted (systemd-nspawn), with the packages that
# scripts/make-deb.sh makes, and carries an experiment through under them. Needs root, a network, and
# the packages debootstrap and systemd-container; no part of `make check`.
#
#     tests/systemd/boot.sh [FOLDER]
#
# FOLDER (boot-root, here) holds the machine, which is made once: some 600 MB and two minutes.
set -u
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
root=${1:-boot-root}
lost=0

give_up() {
    echo "boot.sh: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || { echo 'skipped: only root boots machines'; exit 77; }
for tool in debootstrap systemd-nspawn git; do
    command -v $tool >/dev/null 2>&1 || { echo "skipped: there is no $tool"; exit 77; }
done
if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,acl \
        bookworm "$root" http://deb.debian.org/debian >boot-debootstrap.log 2>&1 ||
        give_up 'debootstrap failed: boot-debootstrap.log says why'
fi
root=$(cd "$root" && pwd)
proof=$root/proof
rm -rf "$proof"
mkdir -p "$proof"
"$top/scripts/make-deb.sh" "$proof" >boot-packages.log 2>&1 ||
    give_up 'no packages: boot-packages.log says why'
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp "$top/tests/e2e/tiny.yaml" "$proof/experiment.yaml"
cp "$top/systemd/examples/coordinator-mirror.conf" "$proof/mirror.conf"
cp "$top/systemd/examples/coordinator-backup.conf" "$proof/backup.conf"
cp "$top"/systemd/examples/dipaco-backup.* "$proof"
sed -n '/^write_documents() {/,/^}/p' "$top/tests/e2e/lib.sh" >"$proof/documents.sh"

# What is left of the last time goes; the packages come in new.
chroot "$root" sh -ec '
    export DEBIAN_FRONTEND=noninteractive
    apt-get purge -qy dipaco dipaco-worker dipaco-coordinator dipaco-common || true
    rm -rf /var/lib/dipaco* /var/lib/private/dipaco* /srv/dipaco* /etc/dipaco /etc/systemd/system/dipaco*
    apt-get update -q
    apt-get install -qy --no-install-recommends /proof/*.deb
' >boot-install.log 2>&1 || give_up 'the packages do not install: boot-install.log says why'

# Each line "ok" or "FAILED" with what it was; the rest of what is said goes to the log.
cat >"$proof/prove.sh" <<'END'
#!/bin/sh
cd /proof
exec 2>log
check() { # WORDS COMMAND...
    words=$1
    shift
    if "$@" >>log 2>&1; then echo "ok: $words"; else echo "FAILED: $words"; fi >>result
}
is() { [ "$1" = "$2" ]; }
finished() {
    for turn in $(seq 60); do
        dipacoctl status 2>/dev/null | grep -q '^finished' && return 0
        sleep 1
    done
    return 1
}
as() { setpriv --reuid "$1" --regid "$1" --clear-groups -- "$2" "$3"; }
. ./documents.sh
write_documents
dipaco data import documents.jsonl --out /var/lib/corpus >>log
chmod -R a+rX /var/lib/corpus
sed 's|corpus: corpus|corpus: /var/lib/corpus|' experiment.yaml >/etc/dipaco/experiment.yaml
chmod 644 /etc/dipaco/experiment.yaml
echo 'DIPACO_COORDINATOR_OPTIONS=--advertise tcp://127.0.0.1:7600' >/etc/dipaco/coordinator.env
check 'nothing runs before it is wanted' sh -c '! systemctl is-active dipaco-coordinator dipaco-worker'
mkdir -p /etc/systemd/system/dipaco-coordinator.service.d
cp mirror.conf /etc/systemd/system/dipaco-coordinator.service.d/
systemctl daemon-reload
check 'the coordinator starts' systemctl start dipaco-coordinator
for name in '' -second; do
    check "worker$name joins" dipaco-worker --dir /etc/dipaco --key "/etc/dipaco/worker$name.key" \
        --name "machine$name" --join "$(dipacoctl invite)" --enrol-only
    echo "DIPACO_WORKER_OPTIONS=--battery yes --threads 1 --name machine$name" >"/etc/dipaco/worker$name.env"
done
check 'a worker starts' systemctl start dipaco-worker
check 'a second one starts' systemctl start dipaco-worker@second
check 'they carry the experiment to its end' finished
check 'there is a report' test -s /var/lib/dipaco-coordinator/report/report.json
check 'a worker tells how it stands' sh -c 'dipaco-worker --dir /var/lib/dipaco-worker --status | grep "connected since"'
blob=$(find /var/lib/dipaco-coordinator/blobs/?? -type f | head -n 1)
check 'a web server may read the blobs' as www-data cat "$blob"
check 'and not the store' sh -c '! setpriv --reuid www-data --regid www-data --clear-groups ls /var/lib/dipaco-coordinator/db'
check 'nor others the blobs' sh -c "! setpriv --reuid nobody --clear-groups cat '$blob'"
check 'keys are read again' systemctl reload dipaco-coordinator
check 'a backup has no place' sh -c '! dipacoctl backup /srv/dipaco-backups/one'
cp backup.conf /etc/systemd/system/dipaco-coordinator.service.d/
install -d -o dipaco -g dipaco-admin -m 0700 /srv/dipaco-backups
systemctl daemon-reload
systemctl restart dipaco-coordinator
check 'with a drop-in it has one' dipacoctl backup /srv/dipaco-backups/one
cp dipaco-backup.* /etc/systemd/system/
systemctl daemon-reload
install -d -o dipaco -g dipaco-admin /srv/dipaco-backups/2020 /srv/dipaco-backups/2021
touch -d '20 days ago' /srv/dipaco-backups/2020 /srv/dipaco-backups/one
check 'a timer makes some' systemctl enable --now dipaco-backup.timer
check 'as its service does' systemctl start dipaco-backup
check 'whole' sh -c 'test -s /srv/dipaco-backups/20*Z/backup.json'
check 'old ones go' test ! -e /srv/dipaco-backups/2020
check 'and nothing else' test -e /srv/dipaco-backups/2021 -a -e /srv/dipaco-backups/one
systemctl stop dipaco-coordinator
mv /var/lib/dipaco-coordinator /var/lib/dipaco-coordinator.old
install -d -o dipaco -g dipaco-admin -m 0700 /var/lib/dipaco-coordinator
check 'it is restored' runuser -u dipaco -- dipaco-coordinator \
    --dir /var/lib/dipaco-coordinator --restore /srv/dipaco-backups/one
check 'and goes on' systemctl start dipaco-coordinator
check 'where it was' finished
before=$(systemctl show -p MainPID --value dipaco-coordinator)
check 'an upgrade' dpkg -i ./*.deb
check 'does not end what runs' is "$before" "$(systemctl show -p MainPID --value dipaco-coordinator)"
systemctl start systemd-logind
echo 'DIPACO_WORKER_OPTIONS=--idle 1' >/etc/dipaco/worker.env
systemctl set-property --runtime dipaco-worker CPUQuota=100% MemoryMax=512M
check 'a worker that minds its owner starts' systemctl restart dipaco-worker
# A machine in a container may have no controllers to limit a unit by.
if grep -qsx 536870912 /sys/fs/cgroup/system.slice/dipaco-worker.service/memory.max \
    /sys/fs/cgroup/memory/system.slice/dipaco-worker.service/memory.limit_in_bytes; then
    check 'and keeps to the limits of its unit' \
        sh -c "journalctl -b -u dipaco-worker | grep 'threads=1 memory_mib=460'"
else
    echo 'skipped: a unit has no limits here' >>result
fi
check 'and may ask whether he is there' sh -c "! journalctl -b -u dipaco-worker | grep 'counts as idle'"
check 'all end when told' systemctl stop dipaco-worker dipaco-worker@second dipaco-coordinator
check 'cleanly' is "$(systemctl --failed --no-legend)" ''
systemctl start dipaco-coordinator dipaco-worker dipaco-worker@second
check 'packages are removed' dpkg --remove dipaco dipaco-worker dipaco-coordinator
check 'and what they ran ends' sh -c '! systemctl is-active dipaco-coordinator dipaco-worker dipaco-worker@second'
check 'they come again' dpkg -i ./*.deb
check 'and start, with what was configured' systemctl start dipaco-coordinator dipaco-worker
systemctl stop dipaco-worker dipaco-coordinator
journalctl --no-pager -u 'dipaco*' >journal
systemctl show -p Result --value dipaco-worker >>log
echo END >>result
systemctl poweroff
END
chmod +x "$proof/prove.sh"
cat >"$root/etc/systemd/system/prove.service" <<'END'
[Unit]
After=multi-user.target
[Service]
ExecStart=/proof/prove.sh
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../prove.service "$root/etc/systemd/system/multi-user.target.wants/prove.service"
timeout 300 systemd-nspawn --quiet -D "$root" --boot --register=no --keep-unit >boot-console.log 2>&1
cat "$proof/result" 2>/dev/null || give_up 'the machine did not come up: boot-console.log'
grep -q '^FAILED' "$proof/result" && lost=1
tail -n 1 "$proof/result" | grep -qx END || lost=1
[ $lost = 0 ] || echo "what was said: $proof/log, $proof/journal"
exit $lost
