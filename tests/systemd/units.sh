#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units as they are installed: systemd-analyze verify finds nothing to say, the exposure stays
# below a limit, sysusers and tmpfiles parse, and each of these checks can fail. Skipped without
# systemd-analyze. Runs in the build tree, where the units are.
set -u
top=$(CDPATH='' cd -- "${srcdir:-.}" && pwd) || exit 99
# As `systemd-analyze security` counts, times ten: what was reached, so that no line gets lost.
coordinator_exposure_max=12
worker_exposure_max=12
worker_card_exposure_max=14

command -v systemd-analyze >/dev/null 2>&1 || {
    echo 'no systemd-analyze here'
    exit 77
}
for folder in /usr/lib/systemd/system /lib/systemd/system; do
    [ ! -f $folder/multi-user.target ] || system_units=$folder
done
[ -n "${system_units:-}" ] || {
    echo "the system's own targets are not here"
    exit 77
}

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
lost=0

fail() {
    echo "failed: $*"
    sed 's/^/    /' "$work/out"
    lost=1
}

# A root with the system's units, ours, and something that can be run where their commands point.
make_root() {
    rm -rf "$work/root"
    units=$work/root/usr/lib/systemd/system
    mkdir -p "$units" "$work/root/etc"
    cp -r "$system_units/." "$units" 2>/dev/null
    cp systemd/*.service "$top"/systemd/examples/*.service "$top"/systemd/examples/*.timer "$units"
    for program in $(sed -n 's/^Exec[A-Za-z]*=+\{0,1\}\([^ ]*\).*/\1/p' "$units"/dipaco-*.service \
        "$top"/systemd/examples/*.conf); do
        program=$work/root/$program
        mkdir -p "$(dirname "$program")"
        printf '#!/bin/sh\n' >"$program"
        chmod +x "$program"
    done
}

# `--man=no`: manual pages are not looked up in the root. Other units' remarks are not ours.
verify() { # UNIT...
    systemd-analyze verify --root="$work/root" --man=no --recursive-errors=no "$@" >"$work/out" 2>&1
    status=$?
    grep -F dipaco "$work/out" >"$work/ours"
    [ $status -eq 0 ] && [ ! -s "$work/ours" ]
}

exposure_below() { # UNIT MAX
    systemd-analyze security --root="$work/root" --offline=true --threshold="$2" --no-pager \
        "$1" >"$work/full" 2>&1
    status=$?
    # What costs something, and the sum.
    LC_ALL=C grep -E '[0-9]+\.[0-9]+' "$work/full" >"$work/out"
    return $status
}

all='dipaco-coordinator.service dipaco-worker.service dipaco-worker@1.service
    dipaco-backup.service dipaco-backup.timer'
make_root
for unit in $all; do
    verify "$unit" || fail "systemd-analyze verify $unit"
done
exposure_below dipaco-coordinator.service $coordinator_exposure_max ||
    fail "the coordinator's exposure is above $coordinator_exposure_max tenths"
for unit in dipaco-worker.service dipaco-worker@1.service; do
    exposure_below $unit $worker_exposure_max || fail "$unit: exposure above $worker_exposure_max tenths"
done

# With each example drop-in the unit still verifies. A key of a later systemd is a remark there, which
# counts for nothing.
drop_in() { # UNIT FILE
    make_root
    mkdir -p "$units/$1.d"
    cp "$top/systemd/examples/$2" "$units/$1.d/"
    verify "$1" || { [ -s "$work/ours" ] && ! grep -qv 'Unknown key' "$work/ours"; } || fail "drop-in $2"
}
drop_in dipaco-coordinator.service coordinator-storage.conf
drop_in dipaco-coordinator.service coordinator-backup.conf
drop_in dipaco-coordinator.service coordinator-mirror.conf
drop_in dipaco-worker.service worker-limits.conf
drop_in dipaco-worker.service worker-backoff.conf
drop_in dipaco-worker.service worker-card.conf
drop_in dipaco-worker@1.service worker-card.conf

# With a card's nodes allowed, a unit keeps all else closed: another node is not among them.
make_root
mkdir -p "$units/dipaco-worker.service.d"
cp "$top/systemd/examples/worker-card.conf" "$units/dipaco-worker.service.d/"
exposure_below dipaco-worker.service $worker_card_exposure_max ||
    fail "a worker with a card: exposure above $worker_card_exposure_max tenths"
if sed -n 's/^DeviceAllow=//p' "$top/systemd/examples/worker-card.conf" | grep -v nvidia >"$work/out"; then
    fail 'worker-card.conf allows more than the card'
fi

# Nothing that substitution should have replaced is left.
if grep -n '@[A-Za-z]*@' systemd/*.service >"$work/out"; then
    fail 'a place holder is left'
fi

# The checks can fail.
make_root
echo 'NoSuchKey=1' >>"$units/dipaco-worker.service"
verify dipaco-worker.service && fail 'verify did not see an unknown key'
make_root
sed -i 's/^ExecStart=[^ ]*/ExecStart=\/no\/such\/program/' "$units/dipaco-coordinator.service"
verify dipaco-coordinator.service && fail 'verify did not see a missing program'
make_root
sed -i '/^SystemCallFilter=/d; /^ProtectSystem=/d' "$units/dipaco-coordinator.service"
exposure_below dipaco-coordinator.service $coordinator_exposure_max &&
    fail 'the exposure without a filter was not seen'

# sysusers and tmpfiles do their work below the root; only root may give files away.
make_root
if command -v systemd-sysusers >/dev/null 2>&1; then
    if ! systemd-sysusers --root="$work/root" "$top/systemd/sysusers.d/dipaco.conf" >"$work/out" 2>&1 ||
        ! grep -q '^dipaco-admin:.*:dipaco$' "$work/root/etc/group" ||
        ! grep -q '^dipaco:' "$work/root/etc/passwd"; then
        fail 'systemd-sysusers'
    fi
    # dbus-daemon lets nobody whom it cannot look up ask logind, for --idle.
    user=$(sed -n 's/^User=//p' systemd/dipaco-worker.service)
    if ! systemd-sysusers --root="$work/root" "$top/systemd/sysusers.d/dipaco-worker.conf" \
        >"$work/out" 2>&1 || ! grep -q "^${user:-nobody}:" "$work/root/etc/passwd"; then
        fail "the worker's account"
    fi
fi
if command -v systemd-tmpfiles >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
    mkdir -p "$work/root/etc/dipaco"
    : >"$work/root/etc/dipaco/worker-1.key"
    if ! systemd-tmpfiles --create --root="$work/root" "$top/systemd/tmpfiles.d/dipaco.conf" \
        >"$work/out" 2>&1 ||
        [ "$(stat -c %a "$work/root/etc/dipaco/worker-1.key")" != 600 ]; then
        fail 'systemd-tmpfiles'
    fi
fi
exit $lost
