#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/install-deps.sh on a machine of stand-ins: dpkg-query looks into a folder, apt-get writes
# into it and keeps a record of its calls.
set -u
script=$(CDPATH='' cd -- "${srcdir:-.}" && pwd)/scripts/install-deps.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
lost=0

mkdir "$work/bin" "$work/installed"
# Nothing but these can be found: no sudo, whatever this machine has.
for tool in sh dirname cat rm mktemp env touch; do
    ln -s "$(command -v $tool)" "$work/bin/$tool"
done

stand_in() { # NAME: the script comes on standard input
    {
        echo '#!/bin/sh'
        echo "work=$work"
        cat
    } >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

stand_in dpkg-query <<'END'
for package; do :; done
[ -e "$work/installed/$package" ] && printf installed
END
stand_in apt-get <<'END'
echo "$*" >>"$work/calls"
install=
for word; do
    case $word in
    install) install=yes ;;
    libyaml-dev) [ -z "$install" ] || [ ! -e "$work/broken" ] || { echo "no such package"; exit 100; } ;;
    esac
done
[ -n "$install" ] || exit 0
for word; do
    touch "$work/installed/$word" 2>/dev/null
done
exit 0
END
stand_in id <<'END'
cat "$work/uid"
END

run() { # ARGUMENT...
    : >"$work/calls"
    PATH=$work/bin sh "$script" "$@" >"$work/out" 2>&1
    status=$?
}

expect() { # WHAT STATUS [TEXT]
    if [ "$status" -ne "$2" ] ||
        { [ -n "${3:-}" ] && ! grep -qF -- "$3" "$work/out" "$work/calls"; }; then
        echo "failed: $1: status $status; it said:"
        sed 's/^/    /' "$work/out" "$work/calls"
        lost=1
    fi
}

echo 0 >"$work/uid"
run --no-such-option
expect 'an unknown option' 2 'usage:'

touch "$work/broken"
run
expect 'a package that cannot be installed' 1 'could not install the package libyaml-dev'
expect 'its reason' 1 'no such package'
rm "$work/broken" "$work/installed"/*

run
expect 'a bare machine' 0 'librocksdb-dev'
[ -e "$work/installed/libzmq3-dev" ] && [ ! -e "$work/installed/libcunit1-dev" ] || lost=1

run
expect 'all is there' 0
if [ -s "$work/out" ] || [ -s "$work/calls" ]; then
    echo 'failed: with all there it still said or did something'
    lost=1
fi

echo 1000 >"$work/uid"
run --tests
expect 'neither root nor sudo' 1 'apt-get install libcunit1-dev'

stand_in sudo <<'END'
echo "sudo $*" >>"$work/calls"
[ "$1" != -- ] || shift
exec "$@"
END
run --tests
expect 'sudo' 0 'sudo -- env'
[ -e "$work/installed/libcunit1-dev" ] || lost=1
exit $lost
